"""A source whose small messages make a getter look through all chunks of a large mod."""

import random

import pytest

from protocol import limits
from protocol.content.rarity import RarestFirst
from protocol.content.swarm import Swarm
from protocol.errors import Unexpected

CHUNKS = 4000
BYTES = 65_000


class Looks:
    """How many waiting chunks were looked at for all sources."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("all", "of"):
            self._count_of(getattr(RarestFirst, name), name, monkeypatch)

    def _count_of(self, original: object, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert callable(original)

        def counted(waiting: RarestFirst, *chunks: object) -> object:
            for chunk in original(waiting, *chunks):
                self.count += 1
                yield chunk

        monkeypatch.setattr(RarestFirst, name, counted)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


def a_swarm() -> Swarm:
    return Swarm([BYTES] * CHUNKS, range(CHUNKS), random.Random(1))


def test_a_source_that_announces_a_chunk_at_a_time_makes_no_new_search(looks: Looks) -> None:
    swarm = a_swarm()
    swarm.join("good", 0.0, complete=True)
    swarm.join("bad", 0.0, complete=False)
    asked = swarm.requests("good", 0.0)
    swarm.requests("bad", 0.0)
    before = looks.count
    assert before >= CHUNKS  # what one search costs
    for chunk in asked:  # which wait no more: it offers nothing
        swarm.holds("bad", chunk // 8 * 8, bytes([0x80 >> chunk % 8]))
        assert swarm.requests("bad", 0.0) == []
        assert swarm.requests("good", 0.0) == []
    assert looks.count - before <= len(asked)


def test_its_news_are_asked_for_and_those_of_others_too() -> None:
    swarm = a_swarm()
    swarm.join("complete", 0.0, complete=True)
    swarm.join("partial", 0.0, complete=False)
    assert swarm.requests("partial", 0.0) == []
    swarm.holds("partial", 0, b"\x60")
    assert swarm.requests("partial", 0.0) in ([1, 2], [2, 1])
    asked = swarm.requests("complete", 0.0)
    for chunk in asked:
        swarm.holds("partial", chunk // 8 * 8, bytes([0x80 >> chunk % 8]))
    assert swarm.requests("partial", 0.0) == []
    swarm.leave("complete")
    for chunk in (1, 2):
        swarm.arrived("partial", chunk, 1.0)
    again = swarm.requests("partial", 1.0)
    assert set(again) <= set(asked)
    assert again


def lack_all(swarm: Swarm, source: str) -> None:
    for _ in range(CHUNKS):
        for chunk in swarm.requests(source, 0.0):
            swarm.lacks(source, [chunk])


def test_a_source_that_lacks_what_it_announced_is_left(looks: Looks) -> None:
    swarm = a_swarm()
    swarm.join("good", 0.0, complete=True)
    swarm.join("bad", 0.0, complete=True)
    with pytest.raises(Unexpected, match="lacks most"):
        lack_all(swarm, "bad")
    assert looks.count < CHUNKS


def test_a_source_that_lost_some_chunks_stays() -> None:
    swarm = a_swarm()
    swarm.join("half", 0.0, complete=True)
    lacked = 0
    for now in range(200):
        for place, chunk in enumerate(swarm.requests("half", float(now))):
            if place % 2:
                swarm.lacks("half", [chunk])
                lacked += 1
            else:
                swarm.arrived("half", chunk, float(now))
                swarm.stored(chunk)
    assert lacked > 2 * limits.LACKING_CHUNKS
