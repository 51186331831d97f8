"""What several getters of one mod are shown of it: each chunk once, and all to who needs it."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.content.serving.seeding import Seeding

TENTH_S = 0.1


def chunks_in(fields: list[tuple[int, bytes]]) -> list[int]:
    return [
        first + 8 * at + bit
        for first, bits in fields
        for at, byte in enumerate(bits)
        for bit in range(8)
        if byte & (0x80 >> bit)
    ]


class Getters:
    """Getters that ask for all that they are shown, over a line that sends in turn."""

    def __init__(self, chunks: int, names: str) -> None:
        self.seeding = Seeding(chunks, Random(1), 0.0)
        self.now = 0.0
        self.wanted: dict[str, list[int]] = {name: [] for name in names}
        self.sent: dict[str, list[int]] = {name: [] for name in names}
        for name in names:
            self.seeding.join(name, 0.0)

    def step(self, *, deaf: str = "", sends: bool = True) -> None:
        """A tenth of a second: each is shown what is due, and sent one chunk."""
        for name, wanted in self.wanted.items():
            if self.seeding.is_due(name, len(wanted), self.now, idle=False):
                shown = chunks_in(self.seeding.show(name, self.now, alone=False))
                if name not in deaf:
                    wanted += shown
                    self.seeding.asked(name)
        for name, wanted in self.wanted.items():
            if wanted and sends:
                self.sent[name].append(wanted.pop(0))
                self.seeding.sent(name, self.sent[name][-1], self.now)
        self.now += TENTH_S

    @property
    def all_sent(self) -> list[int]:
        return [chunk for sent in self.sent.values() for chunk in sent]


def test_getters_are_sent_each_chunk_once_before_any_twice() -> None:
    getters = Getters(100, "abcde")
    while len(set(getters.all_sent)) < 100:
        getters.step()
    assert len(getters.all_sent) <= 110, "but for the last that wait for their turn"


def test_each_is_shown_all_in_the_end_though_the_others_take_nothing() -> None:
    getters = Getters(100, "abc")
    while len(set(getters.sent["a"])) < 100:
        getters.step(deaf="bc")
        assert getters.now < 25.0, "10 s at a chunk each tenth, and what two others hold up"


def test_who_has_no_use_for_what_it_is_shown_is_soon_shown_all() -> None:
    seeding = Seeding(5000, Random(1), 0.0)
    seeding.join("a", 0.0)
    shown: set[int] = set()
    now = 0.0
    while len(shown) < 5000:
        if seeding.is_due("a", 0, now, idle=True):
            fields = seeding.show("a", now, alone=False)
            new = set(chunks_in(fields))
            assert not new & shown
            shown |= new
        now += TENTH_S
    assert now < 20.0


def test_one_alone_is_shown_all_at_once() -> None:
    seeding = Seeding(1001, Random(1), 0.0)
    seeding.join("a", 0.0)
    ((first, bits),) = seeding.show("a", 0.0, alone=True)
    assert chunks_in([(first, bits)]) == list(range(1001))
    assert not seeding.is_due("a", 0, 9.0, idle=True)


def shown_first(seeding: Seeding, name: str, now: float) -> list[int]:
    """A newcomer is shown some at once, whatever others were shown, and asks for it."""
    seeding.join(name, now)
    assert seeding.is_due(name, 0, now, idle=False)
    shown = chunks_in(seeding.show(name, now, alone=False))
    assert shown
    seeding.asked(name)
    return shown


def test_what_one_that_left_was_shown_goes_to_the_next() -> None:
    seeding = Seeding(2 * limits.SEED_UNITS_SHOWN, Random(1), 0.0)
    shown_first(seeding, "a", 0.0)
    for chunk in shown_first(seeding, "b", 0.0):
        seeding.sent("b", chunk, 0.0)
    assert not seeding.is_due("b", 0, 0.0, idle=False)
    seeding.leave("a")
    assert seeding.is_due("b", 0, 0.0, idle=False)


def test_what_one_was_shown_that_takes_what_it_had_goes_to_the_next() -> None:
    seeding = Seeding(2 * limits.SEED_UNITS_SHOWN, Random(1), 0.0)
    first = shown_first(seeding, "a", 0.0)
    others = shown_first(seeding, "b", 0.0)
    for chunk in others:
        seeding.sent("b", chunk, 0.0)
    assert not seeding.is_due("b", 0, 0.0, idle=False)
    rest = chunks_in(seeding.show_rest("a", 0.0))
    assert sorted(rest) == sorted(others)
    assert seeding.is_due("b", 0, 0.0, idle=False)
    assert sorted(chunks_in(seeding.show("b", 0.0, alone=False))) == sorted(first)
    assert not seeding.show_rest("a", 0.0), "all was shown"


def test_who_asks_at_once_is_not_shown_what_is_new_before_it_was_sent_what_it_asked_for() -> None:
    """Else the first getters of many would hold all chunks, each a part that it gets late."""
    seeding = Seeding(100, Random(1), 0.0)
    first = shown_first(seeding, "a", 0.0)
    assert not seeding.is_due("a", 0, TENTH_S, idle=False), "it was read, and has not left"
    assert seeding.is_due("a", 0, TENTH_S, idle=True)
    seeding.sent("a", first[0], TENTH_S)
    assert seeding.is_due("a", 0, TENTH_S, idle=False), "before the line has nothing for it"
    assert len(first) == limits.SEED_UNITS_SHOWN == 2


def test_what_another_was_shown_is_shown_while_the_line_is_idle() -> None:
    seeding = Seeding(2 * limits.SEED_UNITS_SHOWN, Random(1), 0.0)
    shown_first(seeding, "a", 0.0)
    shown_first(seeding, "b", 0.0)
    assert not seeding.is_due("b", 0, 0.0, idle=False)
    assert seeding.is_due("b", 0, 0.0, idle=True)


@pytest.mark.parametrize("chunks", [1, 7, 4096, 4097, 100_003, limits.MANIFEST_CHUNKS])
def test_units_are_few_and_cover_each_chunk_once(chunks: int) -> None:
    seeding = Seeding(chunks, Random(1), 0.0)
    seeding.join("a", 0.0)
    seeding.join("b", 0.0)
    shown: list[int] = []
    now = 0.0
    for _ in range(200):
        fields = seeding.show("a", now, alone=False)
        assert all(first % 8 == 0 for first, _ in fields)
        shown += chunks_in(fields)
        now += TENTH_S
    assert sorted(shown) == list(range(chunks))


@given(st.lists(st.tuples(st.sampled_from("jlsam"), st.sampled_from("xyz"), st.integers(0, 49))))
def test_any_order_of_events_shows_no_chunk_twice_to_one(
    events: list[tuple[str, str, int]],
) -> None:
    seeding, now = Seeding(50, Random(1), 0.0), 0.0
    shown: dict[str, set[int]] = {}
    for kind, who, chunk in events:
        now += TENTH_S
        if kind == "j":
            seeding.join(who, now)
            shown[who] = set()
        elif kind == "l":
            seeding.leave(who)
            shown.pop(who, None)
        elif kind == "s":
            seeding.sent(who, chunk, now)
        elif kind == "a":
            seeding.asked(who)
        elif seeding.is_due(who, 0, now, idle=False):
            new = set(chunks_in(seeding.show(who, now, alone=False)))
            assert new
            assert not new & shown[who]
            shown[who] |= new
