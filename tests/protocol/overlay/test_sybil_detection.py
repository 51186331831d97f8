"""How many contacts there are, and how unlikely the contacts nearest to a key are."""

import random

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.overlay import sybil_detection
from protocol.overlay.contacts import Contact
from protocol.overlay.sybil_detection import NetworkSize

WHERE = Address("192.0.2.1", 1)
ID_BITS = 160


class At(Contact):
    """A contact whose id is chosen, as no real one's can be."""

    def __init__(self, number: int) -> None:
        super().__init__(bytes(38))
        self.number = number


def nearest(numbers: list[int], target: int, k: int = limits.K) -> list[Contact]:
    return [At(number) for number in sorted(numbers, key=lambda one: one ^ target)[:k]]


def network(count: int, rng: random.Random) -> list[int]:
    return [rng.getrandbits(ID_BITS) for _ in range(count)]


@pytest.mark.parametrize("count", [100, 1000, 5000])
def test_the_size_is_learned_from_lookups(count: int) -> None:
    rng = random.Random(count)
    ids = network(count, rng)
    size = NetworkSize()
    for _ in range(limits.SIZE_SAMPLES):
        target = rng.getrandbits(ID_BITS)
        size.note(target, nearest(ids, target))
    assert size.estimate(without=0) == pytest.approx(count, rel=0.2)


def test_sybils_around_a_few_targets_do_not_change_the_size() -> None:
    rng = random.Random(2)
    ids = network(1000, rng)
    size = NetworkSize()
    for number in range(limits.SIZE_SAMPLES):
        target = rng.getrandbits(ID_BITS)
        sybils = [target ^ rng.getrandbits(130) for _ in range(45)] if number % 4 == 0 else []
        size.note(target, nearest(ids + sybils, target))
    assert size.estimate(without=0) == pytest.approx(1000, rel=0.3)


def test_a_part_of_the_ids_counts_once_and_an_eighth_not_against_itself() -> None:
    size = NetworkSize(k=2)
    first, part, eighth, half = 5, 1 << 154, 1 << 157, 1 << 159
    for target in (first, first + 1, part + first):
        size.note(target, [At(target ^ 1), At(target ^ 2)])
    assert size.samples(without=first) == 0
    assert size.samples(without=eighth) == 2
    size.note(eighth, [At(eighth ^ 1)])
    assert size.samples(without=first) == 0, "fewer than k found say nothing"
    size.note(eighth, [At(eighth ^ 1), At(eighth ^ half)])
    assert size.samples(without=first) == 1
    assert size.estimate(without=first) == pytest.approx((2 - 1 / 3) / 0.5)


def test_many_lookups_that_lead_to_the_same_sybils_do_not_change_the_size() -> None:
    """As when holders near a key are called, which are sybils themselves."""
    rng = random.Random(3)
    key = rng.getrandbits(ID_BITS)
    ids = network(25, rng)
    sybils = [key ^ rng.getrandbits(155) for _ in range(64)]
    size = NetworkSize()
    for drawn in size.targets(limits.SIZE_SAMPLES_VERDICT, rng, without=key):
        size.note(int.from_bytes(drawn), nearest(ids + sybils, int.from_bytes(drawn)))
    for target in [*sybils, *(key ^ rng.getrandbits(155) for _ in range(100))]:
        size.note(target, nearest(ids + sybils, target))
    assert size.estimate(without=key) < 60
    assert size.samples(without=key) == limits.SIZE_SAMPLES_VERDICT


def test_each_target_that_is_drawn_adds_a_sample() -> None:
    rng = random.Random(4)
    key = rng.getrandbits(ID_BITS)
    size = NetworkSize(k=1)
    for count in (2, 8, 100):
        for drawn in size.targets(count, rng, without=key):
            before = size.samples(without=key)
            size.note(int.from_bytes(drawn), [At(1)])
            assert size.samples(without=key) == before + 1
    assert size.samples(without=key) == limits.SIZE_SAMPLES * 7 // 8
    assert size.targets(1, rng, without=key) == []


def test_the_chance_of_so_many_contacts() -> None:
    assert sybil_detection.chance_of(0, 3.0) == 1.0
    assert sybil_detection.chance_of(1, 0.0) == 0.0
    assert sybil_detection.chance_of(1, 1.0) == pytest.approx(0.632, abs=0.001)
    assert sybil_detection.chance_of(16, 16.0) == pytest.approx(0.533, abs=0.001)
    assert sybil_detection.chance_of(16, 6.0) == pytest.approx(0.000509, rel=0.01)


def test_honest_contacts_hardly_ever_count_as_sybils_and_sybils_always_do() -> None:
    rng = random.Random(3)
    ids = network(1000, rng)
    alarms = misses = 0
    for _ in range(300):
        target = rng.getrandbits(ID_BITS)
        honest = nearest(ids, target)
        closest = honest[0].number ^ target
        sybils = [target ^ rng.randrange(closest) for _ in range(45)]
        for numbers, is_attack in ((ids, False), (ids + sybils, True)):
            found = nearest(numbers, target)
            chance = sybil_detection.chance_of(
                limits.K, 1000 * sybil_detection.radius(target, found)
            )
            has_sybils = chance < limits.SYBILS_CHANCE
            alarms += has_sybils and not is_attack
            misses += is_attack and not has_sybils
    assert alarms <= 3
    assert misses == 0


def test_a_region_holds_k_to_2k_contacts() -> None:
    assert sybil_detection.region_bits(1600, 16) == 6
    assert sybil_detection.region_bits(1000, 16) == 5
    assert sybil_detection.region_bits(20, 16) == 0
    assert sybil_detection.region_bits(3, 16) == 0


def test_the_targets_of_a_region_leave_out_the_key_and_cover_the_rest() -> None:
    key = 0b1011 << 156
    bits = 2
    targets = sybil_detection.region_targets(key, bits)
    shared = [ID_BITS - (key ^ target).bit_length() for target in targets]
    assert shared == [bits + part for part in range(limits.REGION_PARTS)]
    assert all(sybil_detection.is_in_region(At(target), key, bits) for target in targets)
    assert not sybil_detection.is_in_region(At(key ^ 1 << 158), key, bits)
    assert sybil_detection.is_in_region(At(key ^ 1 << 158), key, 0)


def test_sybils_too_few_to_be_noticed_leave_honest_contacts_among_the_nearest() -> None:
    rng = random.Random(4)
    ids = network(1000, rng)
    unnoticed = next(
        tenths / 10
        for tenths in range(200)
        if sybil_detection.chance_of(limits.K, tenths / 10) >= limits.SYBILS_CHANCE
    )
    reach = int(unnoticed / len(ids) * (1 << ID_BITS))
    left = []
    for _ in range(400):
        target = rng.getrandbits(ID_BITS)
        left.append(sum(one ^ target <= reach for one in ids))
    assert 5.5 < sum(left) / len(left) < 7.5
    assert left.count(0) <= 4
