"""Attackers of a relay, in virtual time: its places, its permissions and channels, its bytes."""

import contextlib
from collections.abc import Callable

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.errors import RelayRefusal
from protocol.stun.attributes import Attribute
from protocol.stun.message import StunClass, StunMessage, StunMethod, encode_stun
from protocol.turn.events import AllocationLost
from protocol.turn.virtual import relayed_address
from tests.protocol.turn.turn_world import RELAY_ID, Client, World

ALL = limits.RELAY_ALLOCATIONS


def attackers(world: World, count: int, form: str = "5.0.{}.7", first: int = 0) -> list[Client]:
    """Identities with an allocation asked for by each; by `form` of as many networks, or one."""
    return [
        world.client((1000 + number).to_bytes(20), Address(form.format(number), 1000 + number))
        for number in range(first, first + count)
    ]


def chat(clients: list[Client]) -> None:
    """Each sends its neighbour an empty datagram: the least that looks like use."""
    for one, other in zip(clients[::2], clients[1::2], strict=True):
        one.permit(other.relayed)
        other.permit(one.relayed)
        one.send(b"", other.relayed)
        other.send(b"", one.relayed)


def works(one: Client, other: Client) -> bool:
    before = len(one.arrived), len(other.arrived)
    one.send(b"there", other.relayed)
    other.send(b"back", one.relayed)
    return (len(one.arrived), len(other.arrived)) == (before[0] + 1, before[1] + 1)


HOLDERS: dict[str, tuple[str, Callable[[list[Client]], None]]] = {
    "never used, many networks": ("5.0.{}.7", lambda _: None),
    "never used, one network": ("5.0.0.{}", lambda _: None),
    "chatting, many networks": ("5.0.{}.7", chat),
    "chatting, one network": ("5.0.0.{}", chat),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_places_that_attackers_hold_are_won_back_by_use(kind: str) -> None:
    """They renew for ever; an honest pair has its relayed link at once, and keeps it."""
    world = World()
    form, use = HOLDERS[kind]
    held = attackers(world, ALL, form)
    held = [one for one in held if world.server.table.has_client(one.address, world.now)]
    for _ in range(6):
        use(held)
        world.pass_time(limits.RELAY_TENURE_S / 3)
    a, b = world.pair()
    assert works(a, b)
    assert world.server.table.count(world.now) <= ALL
    for number in range(60):
        for _ in range(20):
            assert works(a, b)
        attackers(world, 4, "6.0.{}.7", first=4 * number)
        world.pass_time(1.0)
    assert works(a, b)
    assert not any(isinstance(one, AllocationLost) for one in a.events + b.events)


def test_a_flood_of_newcomers_displaces_no_more_than_its_part() -> None:
    """Links that only check consent stay, but for the least used quarter."""
    world = World()
    links = attackers(world, ALL)
    for _ in range(5):
        chat(links)
        world.pass_time(10.0)
    attackers(world, 200, "6.0.{}.7")
    table = world.server.table
    left = sum(table.has_client(one.address, world.now) for one in links)
    assert left == ALL - ALL // 4


def test_permissions_and_channels_of_one_touch_no_other_and_are_bounded() -> None:
    world = World()
    a, b = world.pair()
    (greedy,) = attackers(world, 1)
    peers = [relayed_address(RELAY_ID, n.to_bytes(20)) for n in range(2000, 2000 + 200)]
    (found,) = world.server.table.at(greedy.relayed, world.now)
    for number, peer in enumerate((*peers, a.relayed, b.relayed)):
        with contextlib.suppress(RelayRefusal):
            found.permit(peer.host, world.now)
        with contextlib.suppress(RelayRefusal):
            found.bind((0x4000 + number).to_bytes(2), peer, world.now)
    assert len(found.permissions) <= limits.RELAY_PERMISSIONS
    assert len(found.channels) <= limits.RELAY_CHANNELS
    assert works(a, b)


@pytest.mark.parametrize("field", [Attribute.USERNAME, Attribute.REALM, Attribute.NONCE])
def test_long_texts_get_no_long_answer_and_leave_nothing(field: Attribute) -> None:
    world = World()
    a, b = world.pair()
    world.sent_on.clear()
    texts = {
        kind: (b"1" * limits.STUN_TEXT_BYTES if kind is field else b"1:x")
        for kind in (Attribute.USERNAME, Attribute.REALM, Attribute.NONCE)
    }
    attributes = tuple((int(kind), value) for kind, value in texts.items())
    for number in range(1000):
        message = StunMessage(
            StunClass.REQUEST, StunMethod.ALLOCATE, number.to_bytes(12), attributes
        )
        datagram = encode_stun(message, key=b"w" * 16)
        world.to_relay(datagram, Address("5.0.0.1", 1 + number))
        world.now += 1e-3
    assert sum(send.size for send in world.sent_on) <= 30 * 100
    assert world.server.table.count(world.now) == 2
    assert world.server.remembered_sources <= 3
    assert works(a, b)


def test_the_rate_of_an_honest_pair_among_pairs_that_pour() -> None:
    """Its own bytes are half of the relay's alone; among eight pairs it has its part by turns."""
    assert _rate(0) > 0.9e6
    assert _rate(8) > 0.5 * 2e6 / 9


def _rate(pairs: int) -> float:
    world = World()
    a, b = world.pair()
    pourers = attackers(world, 2 * pairs)
    chat(pourers)
    seconds, size = 5, 1000
    for _ in range(seconds * 100):
        for one, other in zip(pourers[::2], pourers[1::2], strict=True):
            one.send(bytes(20 * size), other.relayed, size)
        a.send(bytes(10 * size), b.relayed, size)
        world.now += 0.01
    return sum(len(data) for data, *_ in b.arrived) / seconds
