"""Offers are good once, also where memory is short; and no few callers take it from others."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.description import Description, DtlsRole
from protocol.errors import RateLimited, Replayed
from protocol.places.offers import OfferMemory
from protocol.signaling import Offer

NOW = 1_800_000_000
DESCRIBED = Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ())
OFFER = Offer(bytes(32), bytes(20), bytes(16), NOW, DESCRIBED, bytes(32))


def offer(caller: int, number: int, issued: int = NOW) -> Offer:
    key, digest = caller.to_bytes(32), (1000 * caller + number).to_bytes(32)
    return replace(OFFER, caller_key=key, issued=issued, digest=digest)


def test_who_calls_most_makes_room_for_others() -> None:
    memory = OfferMemory(capacity=12, per_caller=4)
    for caller in range(1, 4):
        for number in range(4):
            memory.accept(offer(caller, number, NOW + number), NOW)
    for caller in range(10, 16):
        memory.accept(offer(caller, 0), NOW)
    assert len(memory) == 12
    with pytest.raises(RateLimited):
        memory.accept(offer(1, 9, NOW + 9), NOW)


def test_what_made_room_is_not_good_again() -> None:
    memory = OfferMemory(capacity=4)
    for number in (3, 0, 2, 1):
        memory.accept(offer(1, number, NOW + number), NOW)
    memory.accept(offer(2, 0), NOW)
    memory.accept(offer(3, 0), NOW)
    for number in range(4):
        with pytest.raises(Replayed):
            memory.accept(offer(1, number, NOW + number), NOW + 30)
    with pytest.raises(Replayed):
        memory.accept(offer(1, 7, NOW + 1), NOW)


@settings(deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 5), st.integers(0, 20), st.integers(-60, 60), st.floats(0.0, 40.0)
        ),
        max_size=80,
    )
)
def test_whatever_callers_send_no_offer_in_time_is_accepted_twice(
    steps: list[tuple[int, int, int, float]],
) -> None:
    memory = OfferMemory(capacity=6, per_caller=4)
    accepted: dict[bytes, Offer] = {}
    now = float(NOW)
    for caller, number, offset, pause_s in steps:
        now += pause_s
        made = offer(caller, number, int(now) + offset)
        made = accepted.get(made.digest, made)
        if not now - limits.CLOCK_SKEW_S <= made.issued <= now + limits.CLOCK_SKEW_S:
            continue  # read_offer has refused it already
        try:
            memory.accept(made, now)
        except (RateLimited, Replayed):
            continue
        assert made.digest not in accepted
        accepted[made.digest] = made
        assert len(memory) <= 6
        assert len(memory._answered_until) <= len(memory)


@pytest.mark.parametrize("set_by_s", [3600.0, -3600.0])
def test_a_clock_that_is_set_and_set_back_makes_no_offer_good_twice(set_by_s: float) -> None:
    memory = OfferMemory()
    first = offer(1, 0)
    memory.accept(first, NOW, 0.0)
    memory.accept(offer(2, 1, NOW + int(set_by_s)), NOW + set_by_s, 20.0)
    with pytest.raises(Replayed):
        memory.accept(first, NOW + 40, 40.0)
    memory.accept(offer(2, 2, NOW + 200), NOW + 200, 200.0)
    assert len(memory) == (2 if set_by_s > 0 else 1), "what may still be in time is kept"
