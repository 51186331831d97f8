"""The places of a search for holders: what is of no use gives way to the next, a few times."""

import pytest

from protocol import limits
from protocol.content.holders.places import HolderPlaces
from protocol.identity import PeerId

SIZE = 100
"""Of a chunk: so small that no download of these goes well."""


def _peers(count: int, first: int = 0) -> list[PeerId]:
    return [PeerId(number.to_bytes(20)) for number in range(first, first + count)]


def _full(places: HolderPlaces, peers: list[PeerId]) -> None:
    for peer_id in peers:
        assert places.has_room
        places.call(peer_id, 0.0)
        places.linked(peer_id, 0.0)


def test_links_by_which_nothing_came_give_way_the_oldest_first() -> None:
    places = HolderPlaces()
    peers = _peers(limits.PROVIDERS_TRIED)
    _full(places, peers)
    assert not places.has_room
    assert places.gives_way_at(0.0) == limits.HOLDER_PROOF_S
    assert places.give_way(limits.HOLDER_PROOF_S - 0.1) is None
    assert places.give_way(limits.HOLDER_PROOF_S) == (peers[0], 0.0)
    assert places.has_room


def test_a_link_by_which_bytes_come_has_more_time() -> None:
    places = HolderPlaces()
    peers = _peers(limits.PROVIDERS_TRIED)
    _full(places, peers)
    for peer_id in peers:
        places.heard(peer_id, 2 * limits.HOLDER_PROOF_BYTES_PER_SECOND)
    assert places.gives_way_at(0.0) == limits.HOLDER_PROOF_S + 2.0
    for peer_id in peers:
        places.heard(peer_id, 100 * limits.HOLDER_PROOF_BYTES_PER_SECOND)
    assert places.gives_way_at(0.0) == limits.STALL_S


def test_one_that_serves_wins_the_others_no_time() -> None:
    places = HolderPlaces()
    (server, *peers) = _peers(limits.PROVIDERS_TRIED + 1)
    _full(places, [server])
    places.proved(server, SIZE, 1.0)
    _full(places, peers)
    places.proved(server, SIZE, limits.HOLDER_PROOF_S)
    assert places.give_way(limits.HOLDER_PROOF_S) == (peers[0], 0.0)


def test_each_turn_is_twice_as_long_until_the_longest() -> None:
    places = HolderPlaces()
    peers = _peers(limits.PROVIDERS_TRIED)
    _full(places, peers)
    for patience_s in (4.0, 8.0, 16.0, 32.0):
        for peer_id in peers:
            assert places.give_way(patience_s - 0.1) is None
            assert places.give_way(patience_s) == (peer_id, 0.0)
            _full(places, [peer_id])
    assert places.give_way(limits.SILENT_S - 0.1) is None
    assert places.give_way(limits.SILENT_S) == (peers[0], None)


def _serving_and_trying(places: HolderPlaces) -> tuple[list[PeerId], list[PeerId]]:
    """All places are taken: by those that sent a chunk at once, and by those on trial."""
    serving = _peers(limits.PROVIDERS_TRIED)
    trying = _peers(limits.PROVIDERS_TRIED, first=limits.PROVIDERS_TRIED)
    _full(places, serving)
    for peer_id in serving:
        places.proved(peer_id, SIZE, 0.1)
    assert places.all_serve
    _full(places, trying)
    return serving, trying


def test_however_many_serve_others_are_tried() -> None:
    places = HolderPlaces()
    serving, trying = _serving_and_trying(places)
    for peer_id in serving:
        places.proved(peer_id, 1000 * SIZE, limits.HOLDER_PROOF_S)
    assert places.give_way(limits.HOLDER_PROOF_S) == (trying[0], 0.0)
    assert places.has_room


def test_a_faster_one_takes_the_place_of_the_slowest_that_serves() -> None:
    places = HolderPlaces()
    serving, (newcomer, *_) = _serving_and_trying(places)
    for peer_id in serving[1:]:
        places.proved(peer_id, 100 * SIZE, 3.0)
    places.proved(newcomer, 10 * SIZE, 3.0)
    assert places.give_way(limits.HOLDER_PROOF_S) == (serving[0], limits.SILENT_S)
    assert places.has_room, "the newcomer is on trial no more"
    assert places.all_serve


def test_the_better_the_download_goes_the_longer_those_that_serve_are_tried() -> None:
    places = HolderPlaces()
    serving, trying = _serving_and_trying(places)
    for peer_id in trying:
        places.proved(peer_id, SIZE, 1.0)
    assert places.gives_way_at(4.0) == limits.HOLDER_PROOF_S
    for second in range(20):
        places.proved(serving[0], 3 * limits.LATE_BYTES_PER_SECOND, float(second))
    assert places.gives_way_at(19.0) == pytest.approx(3 * limits.HOLDER_PROOF_S, rel=0.1)
    places.proved(serving[0], 10**9, 19.0)
    assert places.gives_way_at(19.0) == limits.SILENT_S


def test_one_that_is_hardly_faster_gives_way_and_rests_each_time_longer() -> None:
    places = HolderPlaces()
    serving, (newcomer, *others) = _serving_and_trying(places)
    for peer_id in others:
        places.leave(peer_id)
    _full(places, others)
    for turn in range(3):
        now = 20.0 * turn
        for peer_id in serving:
            places.proved(peer_id, 10 * SIZE, now + limits.HOLDER_PROOF_S)
        places.proved(newcomer, SIZE, now + limits.HOLDER_PROOF_S)
        gone = places.give_way(now + limits.HOLDER_PROOF_S)
        assert gone == (newcomer, limits.SILENT_S * 2**turn)
        places.linked(newcomer, 20.0 * (turn + 1))
        for peer_id in others:
            places.linked(peer_id, 20.0 * (turn + 1))


def test_a_trial_that_served_gets_a_place_as_soon_as_one_is_free() -> None:
    places = HolderPlaces()
    serving, (newcomer, *_) = _serving_and_trying(places)
    places.proved(newcomer, SIZE, 1.0)
    assert places.gives_way_at(0.0) is not None
    places.leave(serving[0])
    assert places.has_room
    assert places.all_serve


def test_bytes_of_those_that_left_count_for_nothing() -> None:
    places = HolderPlaces()
    (peer_id,) = _peers(1)
    places.heard(peer_id, SIZE)
    places.proved(peer_id, SIZE, 0.0)
    assert not places.all_serve
    assert places.has_room


def test_calls_that_fail_and_sources_that_leave_make_room() -> None:
    places = HolderPlaces()
    peers = _peers(limits.PROVIDERS_TRIED)
    for peer_id in peers:
        places.call(peer_id, 0.0)
    assert places.gives_way_at(0.0) is not None
    places.leave(peers[0])
    assert places.has_room
    assert places.gives_way_at(0.0) is None


def test_slow_calls_give_way() -> None:
    places = HolderPlaces()
    peers = _peers(limits.PROVIDERS_TRIED)
    for peer_id in peers:
        places.call(peer_id, 0.0)
    assert places.give_way(limits.LINK_SLOW_S - 0.1) is None
    assert places.give_way(limits.LINK_SLOW_S) == (peers[0], 0.0)
