"""The places of a search for holders: what is of no use gives way to the next, a few times."""

from protocol import limits
from protocol.content.holder_places import HolderPlaces
from protocol.identity import PeerId


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
    assert places.gives_way_at() == limits.HOLDER_PROOF_S
    assert places.give_way(limits.HOLDER_PROOF_S - 0.1) is None
    assert places.give_way(limits.HOLDER_PROOF_S) == (peers[0], True)
    assert places.has_room


def test_where_another_serves_there_is_more_time() -> None:
    places = HolderPlaces()
    (server, *peers) = _peers(limits.PROVIDERS_TRIED + 1)
    _full(places, [server])
    places.proved(server, 1.0)
    _full(places, peers)
    assert places.gives_way_at() == 1.0 + limits.HOLDER_PROOF_S
    places.proved(server, limits.STALL_S - 0.1)
    assert places.gives_way_at() == limits.STALL_S


def test_each_turn_is_twice_as_long_until_the_longest() -> None:
    places = HolderPlaces()
    peers = _peers(limits.PROVIDERS_TRIED)
    _full(places, peers)
    for patience_s in (4.0, 8.0, 16.0, 32.0):
        for peer_id in peers:
            assert places.give_way(patience_s - 0.1) is None
            assert places.give_way(patience_s) == (peer_id, True)
            _full(places, [peer_id])
    assert places.give_way(limits.SILENT_S - 0.1) is None
    assert places.give_way(limits.SILENT_S) == (peers[0], False)


def test_those_that_serve_have_places_of_their_own_as_long_as_they_serve() -> None:
    places = HolderPlaces()
    peers = _peers(limits.PROVIDERS_TRIED)
    _full(places, peers)
    for peer_id in peers:
        places.proved(peer_id, 1.0)
    assert places.gives_way_at() is not None
    for peer_id in peers[1:]:
        places.proved(peer_id, limits.STALL_S)
    assert places.give_way(limits.STALL_S) is None
    assert places.give_way(1.0 + limits.STALL_S) == (peers[0], True)
    assert places.has_room


def test_calls_that_fail_and_sources_that_leave_make_room() -> None:
    places = HolderPlaces()
    peers = _peers(limits.PROVIDERS_TRIED)
    for peer_id in peers:
        places.call(peer_id, 0.0)
    assert places.gives_way_at() is not None
    places.leave(peers[0])
    assert places.has_room
    assert places.gives_way_at() is None


def test_slow_calls_give_way() -> None:
    places = HolderPlaces()
    peers = _peers(limits.PROVIDERS_TRIED)
    for peer_id in peers:
        places.call(peer_id, 0.0)
    assert places.give_way(limits.LINK_SLOW_S - 0.1) is None
    assert places.give_way(limits.LINK_SLOW_S) == (peers[0], True)
