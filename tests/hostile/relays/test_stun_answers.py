"""Answers of a relay to one host, used up by others in its name: its allocation stands.

Who may use them up: hosts that forge the host's address, and those behind the same router. An
allocation lives from requests whose nonce proves its address, and these are counted apart.
"""

from collections.abc import Callable

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.stun.message import StunClass, StunMessage, StunMethod, encode_stun
from protocol.turn.events import Allocated, AllocationLost, CredentialsAging
from tests.protocol.turn.turn_world import A_ID, B_ID, C_ID, A, Client, World

STEP_S = 10.0
NEIGHBOUR = Address(A.host, 9)

Flood = Callable[[], None]


def forged(world: World) -> Flood:
    """Binding and Allocate requests from the host's address, as many as get any answer."""
    kinds = StunMethod.BINDING, StunMethod.ALLOCATE
    datagrams = [
        encode_stun(StunMessage(StunClass.REQUEST, kind, bytes(12), ()), fingerprint=False)
        for kind in kinds
    ]

    def flood() -> None:
        for number in range(12):
            world.to_relay(datagrams[number % 2], Address(A.host, 1000 + number))

    return flood


def neighbour(world: World) -> Flood:
    """Requests of one with credentials behind the same router, as many as are served."""
    client = world.client(C_ID, NEIGHBOUR)
    world.clients.pop(NEIGHBOUR)
    mine = world.server.table.at(client.relayed, world.now)[0]
    world.server.table.remove(mine)
    request = client.sent[0]

    def flood() -> None:
        found = world.server.table.at(client.relayed, world.now)
        if found:
            world.server.table.remove(found[0])
        for _ in range(int(limits.RELAY_REQUESTS_BURST) + 1):
            world.to_relay(request, NEIGHBOUR)

    return flood


def drains_before_each(world: World, flood: Flood) -> None:
    """The relay gets a flood just before each datagram of an honest client."""
    is_flooding = False

    def lost(datagram: bytes) -> bool:
        nonlocal is_flooding
        if not is_flooding and datagram[0] < 2:
            is_flooding = True
            flood()
            is_flooding = False
        return False

    world.lost = lost


def live(world: World, clients: tuple[Client, ...], seconds: float) -> None:
    """Time passes; credentials come by the overlay, sealed."""
    for _ in range(round(seconds / STEP_S)):
        world.pass_time(STEP_S)
        for one in clients:
            if any(isinstance(event, CredentialsAging) for event in one.events):
                one.events.clear()
                one.turn.renew(
                    world.grant(A_ID if one.address == A else B_ID, one.address), world.now
                )


@pytest.mark.parametrize(("attack", "minutes"), [(forged, 60), (neighbour, 3)])
def test_answers_that_others_use_up_end_no_allocation(
    attack: Callable[[World], Flood], minutes: int
) -> None:
    world = World()
    a, b = world.pair()
    drains_before_each(world, attack(world))
    for _ in range(minutes):
        live(world, (a, b), 60.0)
        assert not any(isinstance(event, AllocationLost) for event in (*a.events, *b.events))
        before = len(b.arrived)
        a.send(b"there", b.relayed)
        assert len(b.arrived) == before + 1
    assert "rate_limited" in world.refused


def test_forged_requests_keep_no_client_of_the_host_from_an_allocation() -> None:
    """It takes one round trip as ever: its credentials bring the nonce."""
    world = World()
    drains_before_each(world, forged(world))
    client = world.client(A_ID, A)
    assert isinstance(client.events[0], Allocated)
    assert client.requests == [StunMethod.ALLOCATE]
    assert world.refused
