"""Who came often lately is known, by peer and by network, and loses to who came less."""

import random

import pytest

from protocol import limits
from protocol.errors import Busy
from protocol.places.remembered import RememberedPeers
from protocol.places.tenure import RELAYED, Place, PlaceRule, network_of
from protocol.places.visits import Visits

NETWORK = network_of("93.184.216.34")
ATTACKERS = 130
USEFUL = 128
STEP_S = 6.0
ROUND_S = limits.LINK_TENURE_S * (ATTACKERS // (limits.LINKS // limits.LINKS_KEPT_PART) + 1)
"""In which each attacker may have had the places of peers of no use once."""


def peer(number: int) -> bytes:
    return number.to_bytes(20)


def test_visits_are_counted_until_ten_minutes_after_the_last_and_up_to_a_bound() -> None:
    visits = Visits()
    visits.add(peer(1), b"", 0.0)
    visits.add(peer(1), b"", 500.0)
    assert visits.times(peer(1), b"", 1099.0) == 2
    assert visits.times(peer(1), b"", 1100.0) == 0
    for _ in range(limits.VISITS_COUNTED + 3):
        visits.add(peer(2), b"", 1200.0)
    assert visits.times(peer(2), b"", 1200.0) == limits.VISITS_COUNTED


def test_a_new_peer_of_a_network_from_which_several_came_has_come_before() -> None:
    visits = Visits()
    for number in range(limits.VISITORS_OF_NETWORK):
        assert visits.times(peer(9), NETWORK, 1.0) == 0
        visits.add(peer(number), NETWORK, 1.0)
        visits.add(peer(100 + number), b"", 1.0)
        visits.add(peer(200 + number), RELAYED, 1.0)
    assert visits.times(peer(9), NETWORK, 1.0) == 1
    assert visits.times(peer(0), NETWORK, 1.0) == 1, "its own visit does not count twice"
    assert visits.times(peer(9), b"", 1.0) == 0
    assert visits.times(peer(9), RELAYED, 1.0) == 0


def test_no_more_peers_are_remembered_than_the_bound() -> None:
    peers = RememberedPeers(8, 60.0)
    for number in range(20):
        peers.add(peer(number), NETWORK, 0.0)
    assert len(peers) == peers.of_network(NETWORK, 0.0) == 8
    assert peers.times(peer(11), 0.0) == 0
    assert peers.times(peer(12), 0.0) == 1


def test_who_came_less_often_takes_the_place_of_who_came_most() -> None:
    rule = PlaceRule(places=3, for_newcomers=3, for_own=0, per_network=9)
    taken = [Place(peer(number), b"", 0.0, 9.0, 9.0, visits=number) for number in (1, 3, 2)]
    with pytest.raises(Busy):
        rule.giving_way(taken, Place(peer(9), b"", 0.0, visits=3), 1.0)
    for visits in (1, 2):
        assert rule.giving_way(taken, Place(peer(9), b"", 0.0, visits=visits), 1.0) is taken[1]


class Siege:
    """Links of a node by the rule alone: attackers ask for a place at every step, and hand over."""

    def __init__(self, *, hand_over: bool) -> None:
        kept = limits.LINKS // limits.LINKS_KEPT_PART
        self.rule = PlaceRule(limits.LINKS, kept, kept, limits.LINKS_PER_NETWORK)
        self.now = 0.0
        self.held: dict[bytes, float] = {}
        self._hand_over = hand_over
        self._visits = Visits()
        self._attackers = [peer(number) for number in range(1, ATTACKERS + 1)]
        self._useful = [Place(peer(10_000 + one), b"", 1.0 + one) for one in range(USEFUL)]
        self._rng = random.Random(1)

    def ask(self, peer_id: bytes) -> bool:
        """Whether the peer gets, or has, a place."""
        if peer_id in self.held:
            return True
        network = peer_id[-3:]
        visits = self._visits.times(peer_id, network, self.now) + 1
        try:
            lost = self.rule.giving_way(
                self._taken(), Place(peer_id, network, 0.0, visits=visits), self.now
            )
        except Busy:
            return False
        if lost is not None:
            del self.held[lost.holder]
        self.held[peer_id] = self.now
        self._visits.add(peer_id, network, self.now)
        return True

    def _taken(self) -> list[Place]:
        places = list(self._useful)
        for peer_id, since in self.held.items():
            until, network = since + limits.LINK_TENURE_S, peer_id[-3:]
            visits = self._visits.times(peer_id, network, self.now)
            places.append(Place(peer_id, network, 0.0, until, until, visits=visits))
        return places

    def step(self) -> None:
        """All attackers ask; those whose tenure is about to end give the place to another."""
        self.now += STEP_S
        for peer_id, since in list(self.held.items()):
            if self._hand_over and self.now >= since + limits.LINK_TENURE_S - STEP_S:
                del self.held[peer_id]
        self._rng.shuffle(self._attackers)
        for peer_id in self._attackers:
            self.ask(peer_id)

    def seconds_to_place(self, peer_id: bytes) -> float:
        """The time until a peer has a place, which asks after the attackers did, or a round."""
        began = self.now
        while not self.ask(peer_id) and self.now < began + ROUND_S:
            self.step()
        return self.now - began


@pytest.mark.parametrize("hand_over", [False, True])
def test_newcomers_and_those_that_return_once_get_a_place_among_attackers(
    hand_over: bool,
) -> None:
    """128 places are held by useful peers, 64 by attackers of 130 networks that ask all the time.

    After a round of theirs a newcomer does not wait, and after two more none that came once before.
    """
    siege = Siege(hand_over=hand_over)
    while siege.now < ROUND_S:
        siege.step()
    person = peer(1000)
    assert siege.seconds_to_place(person) == 0.0
    siege.held.pop(person)
    while siege.now < 3 * ROUND_S:
        siege.step()
    assert siege.seconds_to_place(person) == 0.0
    assert siege.seconds_to_place(peer(1001)) == 0.0
