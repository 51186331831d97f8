"""What arrives on the socket: garbage, replays, lies. Each is refused by name, and nothing dies."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from protocol import datagrams, limits, records
from protocol.addresses import Address
from protocol.datagrams import XChaCha20Poly1305, answer_hello, hello, seal
from protocol.errors import RateLimited, TimedOut
from protocol.identity import solves_puzzle
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import (
    Code,
    Method,
    Request,
    Response,
    decode_body,
    encode_request,
    encode_response,
)
from protocol.rate_limit import HostRateLimit
from protocol.records import PeerBody, ProviderBody, Record
from tests.node.overlay.network import PUZZLE_BITS, OverlayPeer, environment, identity, open_peer

pytestmark = pytest.mark.usefixtures("machine")

MOD = bytes(32)
CIPHER = XChaCha20Poly1305()
ATTACKER = identity(500)


class Wiretap(asyncio.DatagramProtocol):
    """A socket of an attacker, or of a node that we play by hand."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.received.put_nowait(data)


async def wiretap() -> Wiretap:
    loop = asyncio.get_running_loop()
    _, tap = await loop.create_datagram_endpoint(Wiretap, local_addr=("127.0.0.1", 0))
    return tap


class Attacker:
    """Speaks the protocol by hand with one node, as `ATTACKER`."""

    def __init__(self, victim: OverlayPeer, tap: Wiretap) -> None:
        self.tap = tap
        self.victim = victim
        self.keys = CIPHER.keys(ATTACKER, victim.server.identity.public_key)
        self.token = b""
        self.counter = 0

    def request(self, method: int, arguments: list[Any], *, epoch: bytes = b"epoch..1") -> bytes:
        self.counter += 1
        body = encode_request(
            self.counter.to_bytes(8),
            Method(method),
            epoch=epoch,
            counter=self.counter,
            token=self.token,
            flags=1,
            arguments=arguments,
        )
        return self.sealed(body)

    def sealed(self, body: bytes) -> bytes:
        return seal(CIPHER, ATTACKER.public_key, self.keys.outgoing, bytes(24), body)

    def send(self, datagram: bytes) -> None:
        self.tap.transport.sendto(datagram, self.victim.address)

    async def received(self) -> Request | Response:
        datagram = await self.tap.received.get()
        return decode_body(datagrams.unseal(CIPHER, self.keys.incoming, datagram))

    async def answer(self) -> Response:
        message = await self.received()
        assert isinstance(message, Response)
        self.token = message.token
        return message

    async def ask(self, method: int, arguments: list[Any]) -> Response:
        self.send(self.request(method, arguments))
        return await self.answer()


@contextlib.asynccontextmanager
async def attack(*, survived: bool = True) -> AsyncIterator[tuple[OverlayPeer, Attacker]]:
    """A node and an attacker; whatever the attacker sends, the node still answers then."""
    victim, tap = await open_peer(1), await wiretap()
    try:
        yield victim, Attacker(victim, tap)
        if survived:
            probe = Attacker(victim, tap)
            probe.counter = 1_000_000
            assert (await probe.ask(Method.PING, [])).code == Code.OK
    finally:
        tap.transport.close()
        await victim.close()


async def test_garbage_is_counted_by_name() -> None:
    async with attack() as (victim, attacker):
        rng = random.Random(7)
        good = attacker.request(Method.PING, [])
        cases = {
            "empty_datagram": b"",
            "unknown_first_byte": b"\xa0hello",
            "truncated": good[:60],
            "oversized": good + bytes(1200),
            "not_authentic": _flipped(good),
            "bad_puzzle": bytes((CIPHER.first_byte,))
            + _key_without_puzzle(rng)
            + rng.randbytes(99),
        }
        for datagram in cases.values():
            attacker.send(datagram)
        assert (await attacker.ask(Method.PING, [])).code == Code.OK
        for name in cases:
            assert victim.counters.refused[name] == 1, name


def _key_without_puzzle(rng: random.Random) -> bytes:
    from protocol.identity import solves_puzzle

    return next(key for key in iter(lambda: rng.randbytes(32), b"") if not solves_puzzle(key, 2))


async def test_sealed_nonsense_is_malformed_and_answered_where_it_is_a_request() -> None:
    async with attack() as (victim, attacker):
        for body in (b"", b"\xc1", b"\x90", b"\x91\x05", b"\x93\x00\x00\x00", b"\x80" * 40):
            attacker.send(attacker.sealed(body))
        for method, arguments in (
            (Method.PING, [1]),
            (Method.FIND_NODE, [b"short", 3]),
            (Method.FIND_NODE, [bytes(20), "3"]),
            (Method.FIND_VALUE, [bytes(20), 1, -1, 3]),
            (Method.FIND_VALUE, [bytes(20)]),
        ):
            assert (await attacker.ask(method, arguments)).code == Code.MALFORMED
        assert victim.counters.refused["malformed"] == 11


async def test_a_replayed_request_is_dropped() -> None:
    async with attack() as (victim, attacker):
        captured = attacker.request(Method.PING, [])
        attacker.send(captured)
        await attacker.answer()
        for _ in range(3):
            attacker.send(captured)
        await attacker.ask(Method.PING, [])
        assert victim.counters.refused["replayed"] == 3
        assert attacker.tap.received.empty()


async def test_a_request_of_an_older_run_of_its_sender_changes_nothing() -> None:
    async with attack() as (victim, attacker):
        await attacker.ask(Method.PING, [])
        raw = _provider().raw
        key = records.provider_key(MOD)
        attacker.token = b""
        old_run = attacker.request(Method.STORE, [key, raw], epoch=b"epoch..0")
        attacker.send(old_run)
        assert (await attacker.answer()).code == Code.BAD_TOKEN
        assert len(victim.server.store) == 0


async def test_changing_state_needs_proof_of_the_address() -> None:
    async with attack() as (victim, attacker):
        key, raw = records.provider_key(MOD), _provider().raw
        for method, arguments in (
            (Method.STORE, [key, raw]),
            (Method.REGISTER, [_peer_record().raw]),
            (Method.SIGNAL, [bytes(20), b"sealed", 0]),
            (Method.WITNESS, [bytes(16)]),
        ):
            attacker.token = b"12345678"
            assert (await attacker.ask(method, arguments)).code == Code.BAD_TOKEN
        # The refusal itself brought a token.
        assert (await attacker.ask(Method.STORE, [key, raw])).code == Code.OK
        assert len(victim.server.store) == 1


async def test_a_token_is_worth_nothing_at_another_address() -> None:
    async with attack() as (victim, attacker):
        await attacker.ask(Method.PING, [])
        elsewhere = Attacker(victim, await wiretap())
        elsewhere.token, elsewhere.counter = attacker.token, 500
        answer = await elsewhere.ask(Method.STORE, [records.provider_key(MOD), _provider().raw])
        assert answer.code == Code.BAD_TOKEN
        elsewhere.tap.transport.close()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("signature", Code.NOT_AUTHENTIC),
        ("key", Code.WRONG_KEY),
        ("expired", Code.EXPIRED),
        ("future", Code.ISSUED_IN_FUTURE),
        ("sequence", Code.SEQUENCE_TOO_LOW),
        ("form", Code.MALFORMED),
    ],
)
async def test_a_bad_record_is_refused_with_its_reason(change: str, code: Code) -> None:
    async with attack() as (victim, attacker):
        key = records.provider_key(MOD)
        await attacker.ask(Method.PING, [])
        assert (await attacker.ask(Method.STORE, [key, _provider(sequence=5).raw])).code == Code.OK
        raw = {
            "signature": _flipped(_provider(sequence=9).raw),
            "key": _provider(sequence=9).raw,
            "expired": _provider(sequence=9, age_s=25 * 3600).raw,
            "future": _provider(sequence=9, age_s=-120).raw,
            "sequence": _provider(sequence=4).raw,
            "form": _provider(sequence=9).raw + b"\0",
        }[change]
        where = bytes(20) if change == "key" else key
        assert (await attacker.ask(Method.STORE, [where, raw])).code == code
        (held,) = victim.server.store
        assert held.sequence == 5
        assert sum(victim.counters.refused.values()) == 1


async def test_a_reply_counts_only_from_the_address_and_the_key_that_were_asked() -> None:
    async with attack() as (victim, attacker):
        asked, other = await wiretap(), await wiretap()
        contact = Contact.at(ATTACKER.public_key, _address_of(asked))
        asking = asyncio.ensure_future(
            victim.server.wire.ask(contact, Method.PING, [], timeout_s=30.0, tries=1)
        )
        datagram = await asked.received.get()
        request = decode_body(datagrams.unseal(CIPHER, attacker.keys.incoming, datagram))
        assert isinstance(request, Request)
        reply = encode_response(
            request.transaction, Code.OK, token=b"", observed=victim.address, result=[1]
        )
        impostor = identity(501)
        keys = CIPHER.keys(impostor, victim.server.identity.public_key)
        forged = seal(CIPHER, impostor.public_key, keys.outgoing, bytes(24), reply)
        asked.transport.sendto(forged, victim.address)
        other.transport.sendto(attacker.sealed(reply), victim.address)
        await attacker.ask(Method.PING, [])
        assert not asking.done()
        assert victim.counters.refused["unexpected_reply"] == 2
        asked.transport.sendto(attacker.sealed(reply), victim.address)
        assert (await asking).result == [1]
        asked.transport.close()
        other.transport.close()


@pytest.mark.parametrize(
    ("method", "arguments"), [(Method.FIND_NODE, [bytes(20), 3]), (Method.MEET, [])]
)
async def test_an_unknown_peer_enters_no_table_before_it_answered(
    method: Method, arguments: list[Any]
) -> None:
    async with attack() as (victim, attacker):
        asked = _unproved(attacker, method, arguments)
        attacker.send(asked)
        got = [await attacker.tap.received.get(), await attacker.tap.received.get()]
        kinds = [decode_body(datagrams.unseal(CIPHER, attacker.keys.incoming, d)) for d in got]
        assert any(isinstance(kind, Request) and kind.method == Method.PING for kind in kinds)
        assert len(victim.server.tables) == 0
        assert sum(map(len, got)) <= len(asked), (
            "an address without proof is sent no more than it sent"
        )


async def test_a_proved_address_is_no_answer_in_time() -> None:
    """A peer that echoes our token is at its address, but may be slow: it is pinged as well."""
    async with attack() as (victim, attacker):
        await attacker.ask(Method.PING, [])
        assert attacker.token
        body = encode_request(
            bytes(8),
            Method.PING,
            epoch=b"epoch..1",
            counter=9,
            token=attacker.token,
            flags=0,
            arguments=[],
        )
        attacker.send(attacker.sealed(body))
        got = [await attacker.received(), await attacker.received()]
        (ping,) = (one for one in got if isinstance(one, Request))
        assert len(victim.server.tables) == 0
        attacker.send(attacker.sealed(_response(ping, [1], victim)))
        await asyncio.sleep(0.1)
        assert [one.contact.public_key for one in victim.server.tables.entries()] == [
            ATTACKER.public_key
        ]


async def test_a_contact_whose_key_cost_no_work_or_that_has_no_address_is_not_asked() -> None:
    async with attack() as (victim, attacker):
        bystander = await wiretap()
        where = _address_of(bystander)
        cheap = next(
            key
            for key in (bytes([number]) * 32 for number in range(256))
            if not solves_puzzle(key, PUZZLE_BITS)
        )
        named = Contact.at(cheap, where).packed + identity(700).public_key + bytes(6)
        contact = Contact.at(ATTACKER.public_key, _address_of(attacker.tap))
        victim.server.protocol.maintenance.answered(contact)
        looking = asyncio.ensure_future(victim.server.lookup(bytes(20)))
        question = await attacker.received()
        assert isinstance(question, Request)
        result = [named, b"", [], 0, b""]
        attacker.send(attacker.sealed(_response(question, result, victim)))
        lookup = await looking
        assert lookup.closest() == [contact]
        assert lookup.requests == 1
        assert victim.counters.refused["unsound_contact"] == 2
        assert bystander.received.empty()
        bystander.transport.close()


async def test_a_short_request_of_an_unknown_peer_makes_us_send_no_ping() -> None:
    async with attack() as (victim, attacker):
        asked = _unproved(attacker, Method.PING, [])
        attacker.send(asked)
        assert len(await attacker.tap.received.get()) <= len(asked)
        assert victim.server.wire.pending_count == 0


async def test_a_run_that_was_left_is_never_returned_to() -> None:
    async with attack(survived=False) as (victim, attacker):
        await attacker.ask(Method.PING, [])
        old = attacker.request(Method.PING, [], epoch=b"epoch..1")
        attacker.send(attacker.request(Method.PING, [], epoch=b"epoch..2"))
        await attacker.answer()
        attacker.send(old)
        attacker.send(attacker.request(Method.PING, [], epoch=b"epoch..2"))
        await attacker.answer()
        assert victim.counters.refused["replayed"] == 1
        attacker.counter = 2_000_000
        assert attacker.tap.received.empty()


async def test_a_stale_token_is_renewed_and_costs_no_try() -> None:
    async with attack() as (victim, _):
        other = await open_peer(2)
        wire = other.server.wire
        await wire.ask(victim.contact, Method.PING, [])
        session = wire.session_with(victim.contact)
        assert session is not None
        session.learn_token(b"stale...", victim.contact, asyncio.get_running_loop().time())
        key = records.provider_key(MOD)
        response = await wire.ask(victim.contact, Method.STORE, [key, _provider().raw], tries=1)
        assert response.code == Code.OK
        await other.close()


def _unproved(attacker: Attacker, method: Method, arguments: list[Any]) -> bytes:
    """A request of a reachable attacker without a token."""
    body = encode_request(
        bytes(8), method, epoch=bytes(8), counter=1, token=b"", flags=0, arguments=arguments
    )
    return attacker.sealed(body)


async def test_no_answer_to_an_unproved_address_is_longer_than_its_request() -> None:
    async with attack() as (victim, attacker):
        for seed in range(600, 640):
            public_key = identity(seed).public_key
            contact = Contact.at(public_key, Address("127.0.0.1", 1024 + seed))
            victim.server.protocol.maintenance.answered(contact)
        victim.server.storage[records.provider_key(MOD)] = _provider()
        for method, arguments in (
            (Method.PING, []),
            (Method.FIND_NODE, [bytes(20), 3]),
            (Method.FIND_VALUE, [records.provider_key(MOD), records.PROVIDER, 0, 3]),
            (Method.STORE, [bytes(20), b""]),
            (Method.REGISTER, [b""]),
            (Method.KEEPALIVE, []),
            (Method.SIGNAL, [bytes(20), b"", 0]),
            (Method.DELIVER, [b"", 0]),
            (Method.WITNESS, [bytes(16)]),
            (Method.WITNESSED, [bytes(16)]),
        ):
            attacker.token = b""
            datagram = attacker.request(method, arguments)
            attacker.send(datagram)
            assert len(await attacker.tap.received.get()) <= len(datagram), method
        attacker.send(hello(bytes(16)))
        assert len(await attacker.tap.received.get()) <= len(hello(bytes(16)))


async def test_a_hello_reply_must_sign_our_random_and_come_from_where_we_asked() -> None:
    async with attack() as (victim, attacker):
        asked, other = await wiretap(), await wiretap()
        asked_contact = asyncio.ensure_future(victim.server.wire.hello(_address_of(asked), 30.0))
        question = await asked.received.get()
        replayed = answer_hello(ATTACKER, hello(bytes(16)))
        asked.transport.sendto(replayed, victim.address)
        good = answer_hello(ATTACKER, question)
        asked.transport.sendto(_flipped(good), victim.address)
        other.transport.sendto(good, victim.address)
        await attacker.ask(Method.PING, [])
        assert not asked_contact.done()
        asked.transport.sendto(good, victim.address)
        assert (await asked_contact).public_key == ATTACKER.public_key
        asked.transport.close()
        other.transport.close()


async def test_a_mapping_is_as_old_as_the_hello_to_its_contact() -> None:
    """A router that counts made it for the hello, not for the request that is seen first."""
    async with attack() as (victim, _):
        now = asyncio.get_running_loop().time
        asked = await wiretap()
        asked_at = now()
        asking = asyncio.ensure_future(victim.server.wire.hello(_address_of(asked), 30.0))
        question = await asked.received.get()
        await asyncio.sleep(1.0)
        asked.transport.sendto(answer_hello(ATTACKER, question), victim.address)
        session = victim.server.wire.session_with(await asking)
        assert session is not None
        session.asked(now())
        assert session.answered(now()) == pytest.approx(asked_at, abs=0.1)
        asked.transport.close()


async def test_asking_a_silent_contact_times_out_and_leaves_nothing_behind() -> None:
    async with attack() as (victim, attacker):
        contact = Contact.at(ATTACKER.public_key, _address_of(attacker.tap))
        with pytest.raises(TimedOut):
            await victim.server.wire.ask(contact, Method.PING, [], timeout_s=0.01, tries=1)
        assert not victim.server.wire.pending_count
        await attacker.tap.received.get()


def test_one_host_cannot_ask_without_limit() -> None:
    now = 0.0
    rate, burst = limits.REQUESTS_PER_SECOND_PER_HOST, limits.REQUEST_BURST_PER_HOST
    limit = HostRateLimit(rate, burst)
    for _ in range(int(burst)):
        limit.charge("192.0.2.1", now)
    with pytest.raises(RateLimited, match="one address"):
        limit.charge("192.0.2.1", now)
    limit.charge("192.0.2.2", now)
    now = 1.5 / rate
    limit.charge("192.0.2.1", now)
    with pytest.raises(RateLimited):
        limit.charge("192.0.2.1", now)


def _response(request: Request, result: list[Any], victim: OverlayPeer) -> bytes:
    return encode_response(
        request.transaction, Code.OK, token=b"", observed=victim.address, result=result
    )


def _flipped(data: bytes) -> bytes:
    """The same with its last bit flipped."""
    return data[:-1] + bytes((data[-1] ^ 1,))


def _address_of(tap: Wiretap) -> Address:
    return Address(*tap.transport.get_extra_info("sockname"))


def _provider(*, sequence: int = 1, age_s: float = 0.0) -> Record:
    body = ProviderBody(MOD, complete=True)
    return records.make(ATTACKER, records.PROVIDER, body, now=_wall() - age_s, sequence=sequence)


def _peer_record() -> Record:
    body = PeerBody((), 0, (1, 1), 0)
    return records.make(ATTACKER, records.PEER, body, now=_wall(), sequence=1)


def _wall() -> float:
    return environment(0).wall()
