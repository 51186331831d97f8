"""A relay's bytes of a day, poured away by a few networks: a pair that comes later has its part."""

import pytest

from protocol.addresses import Address
from protocol.turn.terms import RelayQuota
from tests.protocol.turn.turn_world import Client, World

QUOTA = RelayQuota(bytes_a_day=200_000_000)
"""A hundredth of what a relay sends on unless configured otherwise, at the usual 2 MB/s."""

STEP_S = 0.2
PIECE = 1000
HEADERS = 32
LATE_S = 12 * 3600.0
HONEST_S = 30


def pourers(world: World, count: int, port: int) -> list[Client]:
    """Pairs of clients, each of a network of its own."""
    made = [
        world.client((1000 + number).to_bytes(20), Address(f"5.0.{number}.7", port))
        for number in range(count)
    ]
    for one, other in zip(made[::2], made[1::2], strict=True):
        one.permit(other.relayed)
        other.permit(one.relayed)
    return made


def pour(world: World, senders: list[Client], seconds: float) -> None:
    """Each sends what a relay forwards for one at most, and half as much again."""
    share = QUOTA.rate_total // max(len(senders), 2)
    data = bytes(round(1.5 * share * STEP_S / PIECE) * PIECE)
    for _ in range(round(seconds / STEP_S)):
        for number, one in enumerate(senders):
            one.send(data, senders[number ^ 1].relayed, PIECE)
            one.arrived.clear()
        world.now += STEP_S


def carried(attackers: int, *, in_turn: bool = False) -> int:
    """Bytes of data that an honest pair sends in half a minute, late on a day of attackers."""
    world = World(quota=QUOTA)
    world.now = 86_400.0
    senders = pourers(world, attackers, 4001)
    parts = [senders[at : at + 2] for at in range(0, attackers, 2)] if in_turn else [senders]
    for some in parts:
        pour(world, some, 1.5 * QUOTA.bytes_a_day / QUOTA.rate_total / len(parts))
    world.pass_time(LATE_S)
    senders = pourers(world, attackers, 4002)
    a, b = world.pair()
    for _ in range(HONEST_S * 10):
        a.send(bytes(100 * PIECE), b.relayed, PIECE)
        pour(world, senders, STEP_S)
        world.now -= STEP_S / 2
    assert world.server.meter.today(world.now) <= QUOTA.bytes_a_day
    return sum(len(data) for data, *_ in b.arrived)


def test_alone_it_has_half_of_the_rate() -> None:
    assert carried(0) > 0.9 * HONEST_S * QUOTA.rate_each


@pytest.mark.parametrize(("attackers", "in_turn"), [(2, False), (16, True)])
def test_a_pair_that_comes_late_has_an_equal_part_of_what_pourers_left(
    attackers: int, in_turn: bool
) -> None:
    """Its part of the rate, or half of the bytes that as many equal parts leave of the first half.

    Who pours one after another leaves half each time, but is the last to have what time brings.
    """
    part = min(QUOTA.rate_total * HONEST_S, QUOTA.bytes_a_day / 4) / (attackers + 1)
    assert carried(attackers, in_turn=in_turn) * (1 + HEADERS / PIECE) > 0.9 * part
