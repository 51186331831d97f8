"""The search by many probes: its hit rates, its pace and its bounds."""

import random
from math import inf

import pytest

from protocol import limits
from protocol.punching.birthday import BirthdayProbes, ports_to_probe

RUNS = 1500


@pytest.fixture(scope="module")
def hits() -> list[int | None]:
    """After how many probes each of many searches hit one of 256 random mappings."""
    rng = random.Random(5)
    found: list[int | None] = []
    for _ in range(RUNS):
        mapped = set(rng.sample(range(1024, 65536), limits.BIRTHDAY_SOCKETS))
        ports = ports_to_probe(rng, near=rng.choice([0, 1024, 65535, rng.randrange(1024, 65536)]))
        found.append(next((at for at, port in enumerate(ports, 1) if port in mapped), None))
    return found


@pytest.mark.parametrize(("probes", "rate"), [(256, 0.783), (512, 0.953), (1024, 0.998)])
def test_hit_rates(hits: list[int | None], probes: int, rate: float) -> None:
    within = sum(at is not None and at <= probes for at in hits)
    assert within / RUNS == pytest.approx(rate, abs=0.03)


def test_blocks_of_ports_are_found_at_once() -> None:
    rng = random.Random(6)
    found = []
    for _ in range(200):
        first = 1024 + 512 * rng.randrange(126)
        block = range(first, first + 512)
        mapped = set(rng.sample(block, limits.BIRTHDAY_SOCKETS))
        ports = ports_to_probe(rng, near=rng.choice(block))
        found.append(next(at for at, port in enumerate(ports, 1) if port in mapped))
    assert sorted(found)[190] < 25


def test_each_port_is_probed_once_and_all_are_ports() -> None:
    for near in (0, 1, 1024, 30_000, 65535):
        ports = ports_to_probe(random.Random(7), near)
        assert len(set(ports)) == len(ports) == limits.BIRTHDAY_PROBES
        assert all(1024 <= port <= limits.PORT_MAX for port in ports)
    assert ports_to_probe(random.Random(7)) == ports_to_probe(random.Random(7))


def test_probes_leave_at_their_pace_and_end() -> None:
    probes = BirthdayProbes(list(range(2000, 3024)), 100.0)
    assert probes.next_at == 100.0
    assert probes.due(99.9) == []
    assert probes.due(100.0) == [2000]
    assert probes.next_at == pytest.approx(100.005)
    assert probes.due(100.0125) == [2001, 2002]
    assert len(probes.due(101.0)) == 16, "a late timer is no reason for a burst"
    sent = 19
    now = 101.0
    while probes.next_at < inf:
        now = max(now, probes.next_at)
        sent += len(probes.due(now))
    assert sent == 1024
    assert probes.due(now + 10) == []
