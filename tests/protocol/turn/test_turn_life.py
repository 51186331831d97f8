"""The life of an allocation: credentials, renewal, stale nonces, lost datagrams, restarts."""

import contextlib
import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.addresses import Address
from protocol.errors import RemoteError
from protocol.rate_limit import RateLimit
from protocol.stun.attributes import Attribute, ErrorCode, encode_text, encode_u32
from protocol.stun.message import (
    StunClass,
    StunMessage,
    StunMethod,
    decode_stun,
    encode_stun,
    long_term_key,
)
from protocol.turn.answers import Attributes
from protocol.turn.credentials import CredentialMaker
from protocol.turn.events import Allocated, AllocationLost, CredentialsAging, TurnState
from tests.protocol.turn.turn_world import A_ID, B_ID, RELAY, A, B, C, Client, World, code_of

# Credentials ------------------------------------------------------------------------------


def is_refused(world: World, client: Client) -> bool:
    """Whether it got nothing but refusals."""
    return client.turn.state is TurnState.ENDED and not world.server.table.count(world.now)


def test_credentials_of_another_id_are_refused() -> None:
    world = World()
    mine, theirs = world.grant(A_ID, A), world.grant(B_ID, A)
    assert is_refused(world, world.client(A_ID, A, replace(mine, username=theirs.username)))


def test_credentials_of_another_address_or_port_are_refused() -> None:
    world = World()
    for elsewhere in (B, Address(A.host, A.port + 1), Address("::1", A.port)):
        assert is_refused(world, world.client(A_ID, elsewhere, world.grant(A_ID, A)))


def test_expired_credentials_are_refused_and_live_ones_at_the_last_second_are_not() -> None:
    world = World()
    grant = world.grant(A_ID, A)
    world.now += limits.RELAY_CREDENTIALS_S
    assert is_refused(world, world.client(A_ID, A, grant))
    grant = world.grant(A_ID, A)
    world.now += limits.RELAY_CREDENTIALS_S - 1
    assert not is_refused(world, world.client(A_ID, A, grant))


def test_an_expiry_that_was_moved_is_refused() -> None:
    world = World()
    grant = world.grant(A_ID, A)
    expiry, _, name = grant.username.partition(":")
    later = replace(grant, username=f"{int(expiry) + 1}:{name}")
    assert is_refused(world, world.client(A_ID, A, later))


@given(st.text(max_size=60))
def test_user_names_of_any_form_have_no_account(username: str) -> None:
    assert CredentialMaker(bytes(32)).account(username, A, 0.0) is None


def test_another_peer_at_the_same_address_does_not_get_the_allocation() -> None:
    """441: a Refresh with credentials of another id must not end what is not its own."""
    world = World()
    world.client(A_ID, A)
    other = world.grant(B_ID, A)
    answer = ask_as(world, A, other, StunMethod.REFRESH, lifetime_s=0)
    assert code_of(answer) == ErrorCode.WRONG_CREDENTIALS
    assert world.server.table.count(world.now) == 1


def ask_as(
    world: World, address: Address, grant: object, method: StunMethod, *, lifetime_s: int
) -> bytes:
    """An authenticated request outside of any client; the answer."""
    username, realm, nonce, password = (
        getattr(grant, name) for name in ("username", "realm", "nonce", "password")
    )
    message = StunMessage(
        StunClass.REQUEST,
        method,
        b"another ask!",
        (
            (int(Attribute.LIFETIME), encode_u32(lifetime_s)),
            (int(Attribute.USERNAME), encode_text(username)),
            (int(Attribute.REALM), encode_text(realm)),
            (int(Attribute.NONCE), encode_text(nonce)),
        ),
    )
    client = world.clients.pop(address, None)  # the answer is not its own
    before = len(world.sent_on)
    world.to_relay(encode_stun(message, key=long_term_key(username, realm, password)), address)
    if client is not None:
        world.clients[address] = client
    return b"".join(world.sent_on[before].parts)


# Time -------------------------------------------------------------------------------------


def test_an_allocation_lives_on_for_hours_with_fresh_credentials() -> None:
    world = World()
    a, b = world.pair()
    renewed = 0
    for _ in range(6 * 60):
        world.pass_time(60.0)
        for client, peer_id, address in ((a, A_ID, A), (b, B_ID, B)):
            if CredentialsAging() in client.events:
                client.events.remove(CredentialsAging())
                client.turn.renew(world.grant(peer_id, address), world.now)
                renewed += 1
        a.send(b"still", b.relayed)
        assert b.arrived.pop() == (b"still", 5, a.relayed)
        assert a.turn.state is b.turn.state is TurnState.ALLOCATED
    assert renewed >= 12


def test_without_fresh_credentials_it_ends_within_an_allocation_of_their_expiry() -> None:
    world = World()
    a = world.client(A_ID, A)
    world.pass_time(limits.RELAY_CREDENTIALS_S + limits.RELAY_ALLOCATION_S)
    assert isinstance(a.events[-1], AllocationLost)
    assert not world.server.table.count(world.now)


def test_a_stale_nonce_never_pauses_data() -> None:
    """Must hold 8: at Refresh and ChannelBind, whenever the period of nonces ends."""
    world = World()
    a, b = world.pair()
    stale = 0
    for _ in range(3 * limits.RELAY_NONCE_PERIOD_S // 10):
        world.pass_time(10.0)
        for client, peer_id, address in ((a, A_ID, A), (b, B_ID, B)):
            if CredentialsAging() in client.events:
                client.events.remove(CredentialsAging())
                fresh = world.grant(peer_id, address)
                client.turn.renew(replace(fresh, nonce=client.turn._nonce), world.now)
        for sender, reader in ((a, b), (b, a)):
            sender.send(b"data", reader.relayed)
            assert reader.arrived.pop() == (b"data", 4, sender.relayed)
        stale += sum(
            decode_stun(b"".join(send.parts)).kind == StunClass.ERROR
            for send in world.sent_on
            if send.parts[0][0] < 64
        )
        world.sent_on.clear()
    assert stale >= 2, "nonces did go stale"


def test_a_stale_nonce_is_answered_with_438_and_a_fresh_one_also_at_create_permission() -> None:
    world = World()
    grant = world.grant(A_ID, A)
    world.client(A_ID, A)
    world.now += 2 * limits.RELAY_NONCE_PERIOD_S
    for method in (StunMethod.REFRESH, StunMethod.CREATE_PERMISSION, StunMethod.CHANNEL_BIND):
        answer = ask_as(world, A, grant, method, lifetime_s=600)
        assert code_of(answer) == ErrorCode.STALE_NONCE
        nonce = decode_stun(answer).text(Attribute.NONCE)
        assert nonce == world.credentials.nonce(A, world.now) != grant.nonce


@given(st.integers(0, 2**32))
def test_lost_datagrams_are_repeated(seed: int) -> None:
    world = World()
    dice = random.Random(seed)
    world.lost = lambda _: dice.random() < 0.3
    a, b = world.client(A_ID, A), world.client(B_ID, B)
    a.permit(b.relayed)
    b.permit(a.relayed)
    world.pass_time(60.0)
    world.lost = lambda _: False
    if any(isinstance(one, AllocationLost) for one in (*a.events, *b.events)):
        return  # six of a request or its answers in a row
    a.send(b"data", b.relayed)
    assert b.arrived[-1][0] == b"data"
    assert world.server.table.count(world.now) == 2


def test_a_silent_relay_is_given_up() -> None:
    world = World()
    world.lost = lambda _: True
    client = world.client(A_ID, A)
    world.pass_time(60.0)
    assert client.events == [AllocationLost("the relay does not answer")]
    assert client.turn.wake_at is None


def test_a_relay_that_dies_later_is_noticed_by_the_keepalive() -> None:
    world = World()
    client = world.client(A_ID, A)
    world.pass_time(60.0)
    world.lost = lambda _: True
    world.pass_time(60.0)
    assert client.events[-1] == AllocationLost("the relay does not answer")


def test_keepalives_are_less_than_30_s_apart() -> None:
    """Must hold 4, as far as bytes go: a mapping that expires after 30 s stays open."""
    world = World()
    client = world.client(A_ID, A)
    sent_at = [world.now]
    for _ in range(600):
        before = len(client.sent)
        world.pass_time(1.0)
        if len(client.sent) > before:
            sent_at.append(world.now)
    pauses = [later - earlier for earlier, later in itertools.pairwise(sent_at)]
    assert max(pauses) < 30.0
    assert len(sent_at) >= 28


def test_a_change_of_our_own_address_is_noticed() -> None:
    world = World()
    client = world.client(A_ID, A)
    client.address = C
    world.clients = {C: client}
    world.pass_time(30.0)
    assert client.events[-1] == AllocationLost("the relay answered REFRESH with error 401")


def test_a_restarted_client_ends_its_old_allocation_and_allocates_anew() -> None:
    world = World()
    world.client(A_ID, A)
    again = world.client(A_ID, A)
    assert again.requests == [StunMethod.ALLOCATE, StunMethod.REFRESH, StunMethod.ALLOCATE]
    assert isinstance(again.events[-1], Allocated)
    assert world.server.table.count(world.now) == 1


def test_a_repeated_allocate_gets_the_same_answer() -> None:
    world = World()
    client = world.client(A_ID, A)
    first = world.sent_on[-1]
    world.clients.clear()
    world.to_relay(client.sent[0], A)
    assert world.sent_on[-1] == first


def test_released_it_is_gone_at_once() -> None:
    world = World()
    client = world.client(A_ID, A)
    client.turn.release(world.now)
    client.run()
    assert not world.server.table.count(world.now)
    assert client.turn.wake_at is None


def test_without_a_nonce_the_relay_is_asked_for_one() -> None:
    """As at foreign relays: the 401 brings realm and nonce."""
    world = World()
    client = world.client(A_ID, A, replace(world.grant(A_ID, A), nonce="", realm=""))
    assert client.requests == [StunMethod.ALLOCATE] * 2
    assert client.turn.state is TurnState.ALLOCATED


# Answers to addresses that have proved nothing ----------------------------------------------


_FORGED: list[Attributes] = [
    (),
    ((0x0003, b"\0\0\0\6"),),
    ((Attribute.USERNAME, b"9999999999:them"),),
    ((Attribute.USERNAME, b"them"), (Attribute.REALM, b"modswarm"), (Attribute.NONCE, b"old")),
]
"""What a request without a nonce of ours may hold."""


@pytest.mark.parametrize("attributes", _FORGED)
@pytest.mark.parametrize("kind", StunClass)
@pytest.mark.parametrize("method", StunMethod)
@pytest.mark.parametrize("key", [None, b"guessed"])
def test_unproved_addresses_get_no_long_answer_but_three(
    method: StunMethod,
    kind: StunClass,
    attributes: tuple[tuple[int, bytes], ...],
    key: bytes | None,
) -> None:
    """To a Binding request, a 401 and a 438; and none is three times as long as its request."""
    world = World()
    request = encode_stun(
        StunMessage(kind, method, bytes(12), attributes), key=key, fingerprint=False
    )
    world.to_relay(request, Address("2001:db8::7", 4001))
    for send in world.sent_on:
        answer = b"".join(send.parts)
        assert len(answer) <= limits.STUN_ANSWER_FACTOR * len(request)
        assert len(answer) <= limits.DATAGRAM_BYTES
        assert kind is StunClass.REQUEST
        is_challenge = method is not StunMethod.BINDING and code_of(answer) in {401, 438}
        assert len(answer) <= len(request) or method is StunMethod.BINDING or is_challenge
    answered = kind is StunClass.REQUEST and method not in {StunMethod.SEND, StunMethod.DATA}
    is_check = method is StunMethod.BINDING and (key or any(one == 6 for one, _ in attributes))
    assert len(world.sent_on) == (answered and not is_check)


def test_ten_answers_a_second_for_each_source_and_all_kinds() -> None:
    world = World()
    kinds = (StunMethod.BINDING, StunMethod.ALLOCATE, StunMethod.REFRESH)
    asked = [world.ask(A, kinds[number % 3]) for number in range(40)]
    assert sum(map(bool, asked)) == limits.STUN_ANSWERS_PER_SECOND
    assert world.ask(B, StunMethod.BINDING), "another source has its own"
    world.now += 1.0
    assert sum(bool(world.ask(A, StunMethod.BINDING)) for _ in range(40)) == 10


def test_sources_are_forgotten_beyond_the_bound() -> None:
    world = World()
    for number in range(limits.HOSTS_RATE_LIMITED + 100):
        world.ask(Address(f"9.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1), _BINDING)
    assert world.server.remembered_sources <= limits.HOSTS_RATE_LIMITED


_BINDING = StunMethod.BINDING


def test_proved_requests_of_one_address_are_bounded_too() -> None:
    world = World()
    client = world.client(A_ID, A)
    world.clients.clear()
    for _ in range(400):
        world.to_relay(client.sent[0], A)
    assert "rate_limited" in world.refused


@given(st.binary(max_size=200))
def test_any_bytes_raise_only_errors_of_peers(data: bytes) -> None:
    world = World()
    a, _ = world.pair()
    for read in (
        lambda: world.server.receive(data, A, RELAY, world.now, world.wall),
        lambda: world.server.forwarder.channel_received(data, 7, A, RELAY, world.now),
        lambda: a.turn.receive(data, world.now),
        lambda: a.turn.channel_received(data, 7),
    ):
        with contextlib.suppress(RemoteError):
            read()


def test_a_bucket_of_bytes_takes_amounts() -> None:
    bucket = RateLimit(100, 50)
    assert bucket.take(0.0, 50)
    assert not bucket.take(0.1, 11)
    assert bucket.take(0.1, 10)


def test_relays_cannot_forge_success_without_the_key() -> None:
    """Must hold 11: who answers in the relay's place, without the password, is not believed."""
    world = World()
    world.lost = lambda _: True
    client = world.client(A_ID, A)
    transaction = decode_stun(client.sent[0]).transaction
    forged = StunMessage(StunClass.SUCCESS, StunMethod.ALLOCATE, transaction)
    with pytest.raises(RemoteError):
        client.turn.receive(encode_stun(forged, key=b"wrong"), world.now)
    assert client.turn.state is TurnState.ALLOCATING
