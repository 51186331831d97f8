"""The tie-break between two links with one peer, and the wait before another attempt."""

import random
from types import SimpleNamespace
from typing import Any

import pytest

from node.links.pool.backoff import Backoff
from node.links.pool.tie_break import OpenLinks
from node.links.settings import LinkSettings
from protocol.causes.cause import Cause
from protocol.errors import BadConfig, CallFailed, LinkFailed

SMALL, LARGE = b"\1" * 20, b"\2" * 20


class StubLink(SimpleNamespace):
    """The part of a link that OpenLinks reads."""

    def __init__(
        self, direction: str, asked_at: float, opened_at: float, peer_id: bytes = LARGE
    ) -> None:
        super().__init__(
            direction=direction, asked_at=asked_at, opened_at=opened_at, peer_id=peer_id
        )
        self.ended = False
        self.closed = SimpleNamespace(done=lambda: self.ended)


def link(*arguments: Any) -> Any:
    return StubLink(*arguments)


def test_a_single_link_is_the_one_to_use() -> None:
    open_links = OpenLinks(SMALL)
    only: Any = link("outgoing", 0.0, 1.0)
    assert open_links.add(only) is None
    assert open_links.get(LARGE) == only
    assert (list(open_links), len(open_links)) == ([only], 1)
    open_links.discard(only)
    open_links.discard(only)
    assert (open_links.get(LARGE), list(open_links), len(open_links)) == (None, [], 0)


@pytest.mark.parametrize("own_id", [SMALL, LARGE])
def test_of_two_that_one_side_asked_for_the_later_is_kept(own_id: bytes) -> None:
    other_id = LARGE if own_id == SMALL else SMALL
    open_links = OpenLinks(own_id)
    old, new = link("incoming", 0.0, 1.0, other_id), link("incoming", 0.5, 2.0, other_id)
    open_links.add(old)
    assert open_links.add(new) is old
    assert open_links.get(other_id) is new


def test_the_smaller_peer_keeps_the_first_of_two_that_raced() -> None:
    open_links = OpenLinks(SMALL)
    first, second = link("outgoing", 0.0, 1.0), link("incoming", 0.5, 1.1)
    open_links.add(first)
    assert open_links.add(second) is second
    assert open_links.get(LARGE) is first


def test_the_smaller_peer_keeps_what_was_asked_for_after_the_first_had_opened() -> None:
    open_links = OpenLinks(SMALL)
    first, second = link("outgoing", 0.0, 1.0), link("incoming", 1.5, 2.0)
    open_links.add(first)
    assert open_links.add(second) is first
    assert open_links.get(LARGE) is second


def test_the_larger_peer_closes_neither_and_uses_what_is_left() -> None:
    open_links = OpenLinks(LARGE)
    first: Any = link("outgoing", 0.0, 1.0, SMALL)
    second: Any = link("incoming", 0.5, 1.1, SMALL)
    open_links.add(first)
    assert open_links.add(second) is None
    assert open_links.get(SMALL) == first
    open_links.discard(first)
    assert open_links.get(SMALL) == second


def test_one_peer_never_holds_more_than_two_places() -> None:
    open_links = OpenLinks(LARGE)
    for number in range(9):
        direction = "incoming" if number % 3 else "outgoing"
        made = link(direction, float(number), number + 0.5, SMALL)
        loser = open_links.add(made)
        if loser is not None:
            open_links.discard(loser)
        assert len(open_links) <= 2


@pytest.mark.parametrize("own_id", [SMALL, LARGE])
def test_one_that_has_ended_is_neither_used_nor_kept_for_another(own_id: bytes) -> None:
    other_id = LARGE if own_id == SMALL else SMALL
    open_links = OpenLinks(own_id)
    dead: Any = link("outgoing", 0.0, 5.0, other_id)
    fresh: Any = link("incoming", 1.0, 6.0, other_id)
    open_links.add(dead)
    dead.ended = True
    assert open_links.get(other_id) is None
    assert len(open_links) == 0
    assert open_links.add(fresh) is None
    assert open_links.get(other_id) is fresh
    open_links.discard(dead)
    assert list(open_links) == [fresh]


def test_links_are_listed_by_age() -> None:
    open_links = OpenLinks(SMALL)
    made = [link("incoming", 0.0, age, bytes([9, age]) * 10) for age in (3, 1, 2)]
    for one in made:
        open_links.add(one)
    assert [link.opened_at for link in open_links] == [1, 2, 3]


def test_the_wait_doubles_up_to_its_bound_and_is_spread() -> None:
    settings = LinkSettings(backoff_first_s=1.0, backoff_max_s=60.0)
    backoff, now = Backoff(settings, random.Random(1)), 100.0
    waits = []
    for _ in range(12):
        backoff.failed(SMALL, now, CallFailed(cause=Cause.OFFLINE))
        with pytest.raises(LinkFailed, match="do not reach it any more") as refused:
            backoff.check(SMALL, now)
        assert refused.value.cause is Cause.OFFLINE
        waits.append(float(str(refused.value).split(" in ")[1].split(" s")[0]))
        backoff.check(SMALL, now + 60.0)
    for count, wait_s in enumerate(waits):
        longest_s = min(2.0**count, 60.0)
        assert longest_s / 2 - 0.1 <= wait_s <= longest_s + 0.1
    assert len(set(waits[6:])) > 1
    backoff.check(LARGE, now)
    backoff.succeeded(SMALL)
    backoff.check(SMALL, now)


def test_only_so_many_failures_are_remembered() -> None:
    backoff = Backoff(LinkSettings(), random.Random(1))
    for number in range(1025):
        backoff.failed(number.to_bytes(20), 0.0, CallFailed("no"))
    backoff.check((0).to_bytes(20), 0.0)
    with pytest.raises(LinkFailed):
        backoff.check((1).to_bytes(20), 0.0)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadConfig, match="data_path is one of native, stock"):
        LinkSettings(data_path="fast")
