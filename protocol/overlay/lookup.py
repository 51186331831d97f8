"""A lookup as a pure state machine, without rounds: ask, hear, or stop waiting, one at a time.

Each contact that is asked goes through these states; only WAITING ones occupy one of the slots:

    NEW ──asked──> WAITING ──slow──> SLOW ──given up──> FAILED
                      └──── answered ───┴───────────────┴──> ANSWERED

A slot is freed early (SLOW) when an answer is later than usual, and a late answer still counts
while the lookup runs. Once `beta` of the k nearest have answered, what is left is to hear the
others: then there are more slots, and a few more than k are asked at once, since some will turn out
to be dead. A lookup is done when the k nearest candidates that did not fail have all answered
(Kademlia, 2.3), or at one of its caps. Of one network only the nearest counts among the k.
"""

from bisect import bisect
from collections.abc import Callable, Iterable, Sequence

from protocol import limits
from protocol.overlay.candidates import CandidateState, LookupCandidate, Variant
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup_steps import LookupRules, Step


def _no_network(_contact: Contact) -> bytes:
    return b""


class Lookup:
    """The search for the contacts nearest to `target` (20 bytes), from `seeds` on.

    `timeout_s` gives the seconds to wait for a contact's answer, `network_of` the network that a
    contact belongs to (empty if its network has no limit). `AnyLookup` says how it is driven.
    """

    def __init__(
        self,
        target: bytes,
        seeds: Iterable[Contact],
        *,
        own_id: bytes,
        now: float,
        timeout_s: Callable[[Contact], float],
        rules: LookupRules | None = None,
        network_of: Callable[[Contact], bytes] = _no_network,
    ) -> None:
        self.target = int.from_bytes(target)
        self.rules = rules or LookupRules()
        self._ends_at = now + limits.LOOKUP_S
        self.requests = 0
        self._answers = 0
        self._finished = False
        self._given_up: list[Contact] = []
        self._timeout_s = timeout_s
        self._network_of = network_of
        self._candidates: list[LookupCandidate] = []
        self._distances: list[int] = []
        self._pending: list[Variant] = []
        self._asked: dict[bytes, Variant] = {}
        self._by_id: dict[int, LookupCandidate] = {}
        self._own_number = int.from_bytes(own_id)
        for contact in seeds:
            self._hear_of([contact], hops=1)  # one by one: a peer may be known at several addresses

    def next(self, now: float) -> Step:
        """What is to be done at `now`, in seconds; gives up the contacts whose time is over."""
        waiting = self._stop_waiting(now)
        ask: Sequence[Contact] = ()
        if not self._finished:
            rules = self.rules
            near, heard, eligible = self._nearest()
            if self._is_over(near - heard, now):
                self._finished = True
            elif eligible:
                # More slots once a few of the nearest have answered.
                slots = rules.alpha_last if heard >= min(rules.beta, near) else rules.alpha
                left = min(slots - waiting, rules.requests_max - self.requests)
                ask = [self._ask(candidate, now) for candidate in eligible[: max(0, left)]]
        given_up: Sequence[Contact] = ()
        if self._given_up:
            given_up, self._given_up = self._given_up, []
        return Step(ask, given_up, self._next_limit(), self._finished)

    def answered(self, contact: Contact, named: Iterable[Contact]) -> None:
        """`contact` answered and named others. Late answers count while the lookup runs."""
        variant = self._asked.get(contact.packed)
        if self._finished or variant is None or variant.state is CandidateState.ANSWERED:
            return
        if variant in self._pending:
            self._pending.remove(variant)
        variant.enter(CandidateState.ANSWERED)
        candidate = variant.candidate
        if len(candidate.variants) > 1:
            candidate.network = self._network_of(contact)
        self._hear_of(named, candidate.hops + 1)

    def failed(self, contact: Contact) -> None:
        """`contact` cannot be used: it refused, broke a rule, or could not be sent to."""
        variant = self._asked.get(contact.packed)
        if variant is not None and variant.state is not CandidateState.ANSWERED:
            if variant in self._pending:
                self._pending.remove(variant)
            variant.enter(CandidateState.FAILED)

    def stop(self) -> None:
        """End early, because what was looked for is found."""
        self._finished = True

    def closest(self) -> list[Contact]:
        """At most k contacts, nearest first and each of another network, that answered here."""
        found: list[Contact] = []
        networks: set[bytes] = set()
        for candidate in self._candidates:
            if candidate.state is not CandidateState.ANSWERED or candidate.network in networks:
                continue
            if candidate.network:
                networks.add(candidate.network)
            found.append(candidate.answer())
            if len(found) == self.rules.k:
                break
        return found

    def hops_to(self, contact: Contact) -> int:
        """See AnyLookup."""
        candidate = self._by_id.get(contact.number)
        return candidate.hops if candidate else 0

    def _hear_of(self, named: Iterable[Contact], hops: int) -> None:
        """One answer names these contacts, or our table does."""
        self._answers += 1
        answer, by_id = self._answers, self._by_id
        for contact in named:
            known = by_id.get(contact.number)
            if known is None:
                self._add(contact, hops)
            elif known.named_in != answer:
                # Only the first address that an answer gives a peer: no contact names all variants.
                known.named_in = answer
                known.name(contact)

    def _add(self, contact: Contact, hops: int) -> None:
        number = contact.number
        distance = number ^ self.target
        full = len(self._candidates) >= limits.LOOKUP_CANDIDATES
        if number == self._own_number or (full and not self._make_room(distance)):
            return
        candidate = LookupCandidate(contact, distance, hops, self._answers)
        self._by_id[number] = candidate
        position = bisect(self._distances, distance)
        self._distances.insert(position, distance)
        self._candidates.insert(position, candidate)

    def _make_room(self, distance: int) -> bool:
        """Drop the farthest candidate not asked yet, if a new one at `distance` is nearer.

        Those that were asked stay, so that no contact is asked twice.
        """
        for position in range(len(self._candidates) - 1, -1, -1):
            candidate = self._candidates[position]
            if candidate.distance <= distance:
                return False
            if not candidate.was_asked:
                del self._candidates[position], self._distances[position]
                del self._by_id[candidate.variants[0].contact.number]
                return True
        return False

    def _ask(self, candidate: LookupCandidate, now: float) -> Contact:
        variant = candidate.to_ask()
        contact = variant.contact
        timeout_s = self._timeout_s(contact)
        variant.slow_at = now + min(timeout_s, self.rules.slow_s)
        variant.give_up_at = now + timeout_s
        variant.enter(CandidateState.WAITING)
        self._pending.append(variant)
        self._asked[contact.packed] = variant
        self.requests += 1
        if len(candidate.variants) > 1:
            candidate.network = self._network_of(contact)
        return contact

    def _stop_waiting(self, now: float) -> int:
        """Stop waiting for the contacts whose time is over, and count those still waited for."""
        waiting, expected = 0, CandidateState.WAITING
        for variant in self._pending:
            if variant.state is expected:
                if now < variant.slow_at:
                    waiting += 1
                    continue
                variant.enter(CandidateState.SLOW)
            if now >= variant.give_up_at:
                variant.enter(CandidateState.FAILED)
                self._given_up.append(variant.contact)
        if self._given_up:
            self._pending = [one for one in self._pending if one.state is not CandidateState.FAILED]
        return waiting

    def _nearest(self) -> tuple[int, int, list[LookupCandidate]]:
        """Of the k nearest that did not fail: their number, how many answered, and those to ask.

        Some more than k may be asked, as a slow candidate is probably dead: the candidate that
        would take its place is asked right away, and the lookup still waits for both.
        """
        near = heard = asked = 0
        eligible: list[LookupCandidate] = []
        networks: set[bytes] = set()
        k, most = self.rules.k, self.rules.k + self.rules.spare
        answered, new, slow, failed = (
            CandidateState.ANSWERED,
            CandidateState.NEW,
            CandidateState.SLOW,
            CandidateState.FAILED,
        )
        for candidate in self._nearest_first():
            state, network = candidate.state, candidate.network
            if state is failed:
                continue
            if network is None:
                network = candidate.network = self._network_of(candidate.variants[0].contact)
            if network in networks:
                continue
            if network:
                networks.add(network)
            if near < k:
                near += 1
                heard += state is answered
            if state is slow:
                continue
            if state is new:
                eligible.append(candidate)
            else:
                asked += 1
            if asked + len(eligible) == most:
                break
        return near, heard, eligible

    def _nearest_first(self) -> Iterable[LookupCandidate]:
        """All candidates, each with its present state."""
        return self._candidates

    def _is_over(self, missing: int, now: float) -> bool:
        if now >= self._ends_at or not missing:
            return True
        return self.requests >= self.rules.requests_max and not self._pending

    def _next_limit(self) -> float:
        """When the next time limit runs out: a contact's, or else that of the whole lookup."""
        at = self._ends_at
        for variant in self._pending:
            waiting = variant.state is CandidateState.WAITING
            at = min(at, variant.slow_at if waiting else variant.give_up_at)
        return at
