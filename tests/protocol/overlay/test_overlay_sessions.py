"""What is remembered of a peer: time limits, replays against a model, proofs of address."""

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.addresses import Address
from protocol.datagrams import PacketKeys
from protocol.errors import Replayed
from protocol.identity import id_number
from protocol.overlay.contacts import Contact
from protocol.overlay.sessions import (
    PeerSession,
    PeerSessions,
    ReplayGuard,
    SharedRoundTrip,
    Tokens,
)

repeatable = settings(deadline=None, derandomize=True)

HERE, THERE = Address("192.0.2.1", 4001), Address("192.0.2.2", 4001)
PERIOD_S = limits.TOKEN_PERIOD_S


# Round trips --------------------------------------------------------------------------------


def test_a_contact_without_a_sample_gets_the_shared_timeout() -> None:
    assert session(1).timeout_s() == limits.TIMEOUT_UNKNOWN_S


@repeatable
@given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_a_time_limit_stays_within_its_bounds_and_follows_rfc_6298(samples: list[float]) -> None:
    trip = session(1)
    smoothed = deviation = 0.0
    for number, sample in enumerate(samples):
        trip.measured(sample)
        if number == 0:
            smoothed, deviation = sample, sample / 2
        else:
            deviation = 3 / 4 * deviation + 1 / 4 * abs(smoothed - sample)
            smoothed = 7 / 8 * smoothed + 1 / 8 * sample
        assert trip.smoothed_s == pytest.approx(smoothed)
        assert trip._deviation_s == pytest.approx(deviation)
        timeout_s = trip.timeout_s()
        assert limits.TIMEOUT_MIN_S <= timeout_s <= limits.TIMEOUT_MAX_S
        wanted = smoothed + 4 * deviation
        if limits.TIMEOUT_MIN_S < wanted < limits.TIMEOUT_MAX_S:
            assert timeout_s == pytest.approx(wanted)


def test_a_path_faster_than_the_clock_is_known_all_the_same() -> None:
    trip = session(1)
    trip.measured(0.0)
    assert trip.timeout_s() == limits.TIMEOUT_MIN_S
    trip.measured(0.4)
    assert trip.smoothed_s == pytest.approx(0.05)


def test_the_shared_timeout_follows_the_samples_of_all() -> None:
    shared = SharedRoundTrip()
    assert shared.timeout_s() == limits.TIMEOUT_UNKNOWN_S
    rng = random.Random(1)
    for _ in range(3):
        shared.measured(0.03)
    assert shared.timeout_s() == limits.TIMEOUT_UNKNOWN_S, "three say little of all others"
    samples = [rng.uniform(0.05, 0.35) for _ in range(500)]
    limits_s = []
    for one in samples:
        shared.measured(one)
        limits_s.append(shared.timeout_s())
    # Mean 0.2 and mean deviation 0.075: no run of near contacts makes all others look dead.
    settled = limits_s[100:]
    assert min(settled) > 0.35
    assert max(settled) < 0.65
    for _ in range(1000):
        shared.measured(0.01)
    assert shared.timeout_s() == limits.TIMEOUT_MIN_S


# Replays ------------------------------------------------------------------------------------


def accept(guard: ReplayGuard, counter: int) -> None:
    guard.accept(bytes(8), counter, 0.0, proved=True)


class ModelWindow:
    """The same rule as a set: unseen, and less than a window behind the highest."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def accepts(self, counter: int) -> bool:
        highest = max(self.seen, default=-1)
        if counter in self.seen or counter <= highest - limits.REPLAY_WINDOW:
            return False
        self.seen.add(counter)
        return True


COUNTERS = st.lists(
    st.integers(0, 200)
    | st.integers(0, 2**63)
    | st.sampled_from((0, 63, 64, 65, 127, 128, 2**63 - 64, 2**63 - 63, 2**63)),
    max_size=120,
)


@settings(repeatable, max_examples=300)
@given(COUNTERS)
def test_a_window_does_as_the_set_does(counters: list[int]) -> None:
    guard, model = ReplayGuard(), ModelWindow()
    for counter in counters:
        if model.accepts(counter):
            accept(guard, counter)
        else:
            with pytest.raises(Replayed):
                accept(guard, counter)
        assert guard._seen < 2**limits.REPLAY_WINDOW


def test_requests_may_arrive_out_of_order_by_a_window_and_once() -> None:
    guard = ReplayGuard()
    highest = 1000
    accept(guard, highest)
    for counter in range(highest - 1, highest - limits.REPLAY_WINDOW, -1):
        accept(guard, counter)
    for counter in (highest, highest - limits.REPLAY_WINDOW + 1, highest - limits.REPLAY_WINDOW, 0):
        with pytest.raises(Replayed):
            accept(guard, counter)
    accept(guard, highest + 2 * limits.REPLAY_WINDOW)
    accept(guard, highest + limits.REPLAY_WINDOW + 1)


def test_a_leap_back_costs_no_memory() -> None:
    # The peer chooses both counters, so their distance may size nothing.
    guard = ReplayGuard()
    accept(guard, 2**28)
    tracemalloc.start()
    try:
        with pytest.raises(Replayed):
            accept(guard, 0)
        accept(guard, 2**63)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**16


def test_an_astray_counter_is_forgotten_when_no_old_token_lives() -> None:
    one, dead_s = session(1), 2 * PERIOD_S
    one.accept(b"epoch..1", 2**60, 0.0, proved=True)
    for now in (1.0, dead_s):
        with pytest.raises(Replayed):
            one.accept(b"epoch..1", 5, now, proved=True)
    # What is refused does not keep the memory alive.
    one.accept(b"epoch..1", 5, dead_s + 1.0, proved=True)
    with pytest.raises(Replayed):
        one.accept(b"epoch..1", 5, dead_s + 2.0, proved=True)
    one.accept(b"epoch..2", 1, dead_s + 3.0, proved=True)
    with pytest.raises(Replayed):
        one.accept(b"epoch..1", 6, 2 * dead_s, proved=True)


# Tokens -------------------------------------------------------------------------------------


KEY = bytes(32)
AT_HERE = Contact.at(KEY, HERE)
AT_THERE = Contact.at(KEY, THERE)


def session(number: int) -> PeerSession:
    contact = Contact.at(number.to_bytes(32), HERE)
    return PeerSession(contact, PacketKeys(bytes(32), bytes(32)))


def test_a_token_is_for_one_peer_at_one_address_of_one_node() -> None:
    tokens, one = Tokens(b"s" * 32), session(1)
    token = tokens.make(one, HERE, 1000.0)
    assert len(token) == limits.TOKEN_BYTES
    assert tokens.proves(token, one, HERE, 1000.0)
    assert not tokens.proves(token, session(2), HERE, 1000.0)
    assert not tokens.proves(token, one, THERE, 1000.0)
    assert not tokens.proves(token, one, Address(HERE.host, 4002), 1000.0)
    assert not tokens.proves(token, one, Address("::1", 4001), 1000.0)
    assert not Tokens(b"t" * 32).proves(token, one, HERE, 1000.0)
    for wrong in (b"", token[:-1], token + b"\0", bytes(8), token[:-1] + bytes((token[-1] ^ 1,))):
        assert not tokens.proves(wrong, one, HERE, 1000.0)


def test_what_was_proved_at_one_address_does_not_stick_to_another() -> None:
    tokens, one = Tokens(b"s" * 32), session(1)
    here, there = tokens.make(one, HERE, 1000.0), tokens.make(one, THERE, 1000.0)
    assert here != there
    assert tokens.make(one, HERE, 1000.0) == here
    assert not tokens.proves(there, one, HERE, 1000.0)
    assert tokens.make(one, HERE, 1000.0 + PERIOD_S) != here


@repeatable
@given(st.floats(0, 1e9), st.floats(0, 3 * limits.TOKEN_PERIOD_S))
def test_a_token_lives_through_its_period_and_the_next(made_at: float, age_s: float) -> None:
    tokens, one = Tokens(b"s" * 32), session(1)
    token = tokens.make(one, HERE, made_at)
    periods = int((made_at + age_s) // PERIOD_S) - int(made_at // PERIOD_S)
    assert tokens.proves(token, one, HERE, made_at + age_s) == (periods <= 1)
    # So it is good for one period at least, and for two at most.
    if age_s <= PERIOD_S * 0.999:
        assert periods <= 1
    if age_s >= PERIOD_S * 2.001:
        assert periods > 1


def test_a_token_of_the_future_proves_nothing() -> None:
    tokens, one = Tokens(b"s" * 32), session(1)
    assert not tokens.proves(tokens.make(one, HERE, 1000.0), one, HERE, 1000.0 - PERIOD_S)


# PeerSessions -----------------------------------------------------------------------------------


def test_a_token_is_echoed_at_its_address_while_it_is_fresh() -> None:
    one = session(1)
    assert one.token_for(AT_HERE, 0.0) == b""
    one.learn_token(b"first", AT_HERE, 100.0)
    assert one.token_for(AT_HERE, 100.0) == b"first"
    assert one.token_for(AT_HERE, 100.0 + PERIOD_S) == b"first"
    assert one.token_for(AT_HERE, 100.1 + PERIOD_S) == b""
    assert one.token_for(AT_THERE, 100.0) == b""
    one.learn_token(b"second", AT_THERE, 200.0)
    assert one.token_for(AT_THERE, 200.0) == b"second"
    assert one.token_for(AT_HERE, 200.0) == b""


def test_a_mapping_is_as_old_as_the_first_request_without_an_answer() -> None:
    one = session(1)
    one.asked(1.0)
    one.asked(1.5)
    assert one.answered(1.5) == 1.0
    assert one.answered(1.0) == 1.0, "an answer that came late"
    one.asked(2.0)
    assert one.answered(2.0) == 2.0


def test_requests_of_long_ago_say_nothing_of_a_mapping() -> None:
    """A router may have forgotten what it made for them."""
    one = session(1)
    one.asked(1.0)
    one.asked(2.0 + limits.PORT_STEP_S)
    assert one.answered(2.0 + limits.PORT_STEP_S) == 2.0 + limits.PORT_STEP_S


def test_an_echoed_token_is_still_good_at_its_maker() -> None:
    tokens, one = Tokens(b"s" * 32), session(1)
    for made_at in (0.0, PERIOD_S - 0.1, PERIOD_S, 12345.6):
        one.learn_token(tokens.make(one, HERE, made_at), AT_HERE, made_at)
        for age_s in (0.0, 1.0, PERIOD_S / 2, PERIOD_S):
            echoed = one.token_for(AT_HERE, made_at + age_s)
            assert tokens.proves(echoed, one, HERE, made_at + age_s)


@repeatable
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=30, max_size=60))
def test_a_session_not_used_since_its_last_turn_is_forgotten(steps: list[tuple[bool, int]]) -> None:
    sessions, model = PeerSessions(capacity=3), dict[int, bool]()
    for adds, number in steps:
        known = sessions.get(id_number(number.to_bytes(32)))
        assert (known is not None) == (number in model)
        if number in model:
            model[number] = True
        if adds:
            sessions.add(known or session(number))
            while number not in model and len(model) == 3:
                first = next(iter(model))
                if model.pop(first):
                    model[first] = False
            model.setdefault(number, False)
        assert len(sessions) == len(model)


def test_a_flood_of_unknown_keys_does_not_displace_sessions_in_use() -> None:
    sessions, friend = PeerSessions(capacity=8), session(0)
    sessions.add(friend)
    for number in range(1, 100):
        assert sessions.get(friend.contact.number) is friend
        sessions.add(session(number))
        assert len(sessions) <= 8
