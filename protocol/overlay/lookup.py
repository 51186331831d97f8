"""A lookup as a pure state machine, without rounds: ask, hear, or stop waiting, one at a time.

Each contact that is asked goes through these states; only WAITING ones occupy one of the slots:

    NEW ──asked──> WAITING ──slow──> SLOW ──given up──> FAILED
                      └──── answered ───┴───────────────┴──> ANSWERED

A slot is freed early (SLOW) when an answer is later than usual, and a late answer still counts
while the lookup runs. Once `beta` of the k nearest have answered, what is left is to hear the
others: then there are more slots, and a few more than k are asked at once, since some will turn out
to be dead. A lookup is done when the k nearest candidates that did not fail have all answered
(Kademlia, 2.3), or at one of its caps. Of one network only the nearest counts among the k; one that
is slow hides no other of its network.

Liars can name identities that have no host. Requests to those that stay silent count apart, up to a
cap; what was named only by contacts that are believed no longer (see `Namer`), or lies in a network
with several silent ones, is asked only where fewer than k others are known.
"""

from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from protocol import limits
from protocol.overlay.candidates import CandidateState, LookupCandidate, Namer, Nearest, Variant
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
        self._ends_at = now + self.rules.lasts_s
        self.requests = 0
        self._silent = 0
        self._namers: list[Namer] = []
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
        for contact in seeds:  # one by one: a peer may be known at several addresses
            self._hear_of([contact], Namer(), hops=1)

    def next(self, now: float) -> Step:
        """What is to be done at `now`, in seconds; gives up the contacts whose time is over."""
        waiting = self._stop_waiting(now)
        ask: Sequence[Contact] = ()
        if not self._finished:
            rules = self.rules
            nearest = self._nearest()
            near, heard = nearest.near, nearest.heard
            if self._is_over(near - heard, now):
                self._finished = True
            elif nearest.eligible:
                # More slots once a few of the nearest have answered, or some are silent.
                is_many = heard >= min(rules.beta, near) or self._is_sparing
                slots = rules.alpha_last if is_many else rules.alpha
                left = min(slots - waiting, self._requests_left())
                ask = [self._ask(candidate, now) for candidate in nearest.eligible[: max(0, left)]]
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
        self._silent -= variant.state is not CandidateState.WAITING
        variant.enter(CandidateState.ANSWERED)
        candidate = variant.candidate
        if len(candidate.variants) > 1:
            candidate.network = self._network_of(contact)
        self._namers.append(Namer())
        self._hear_of(named, self._namers[-1], candidate.hops + 1)

    def asked(self, contact: Contact, now: float) -> None:
        """What `contact` was to be asked is sent only `now`: its time limits begin anew."""
        variant = self._asked.get(contact.packed)
        if variant is not None and variant in self._pending:
            self._limit(variant, now)

    def failed(self, contact: Contact) -> None:
        """`contact` cannot be used: it refused, broke a rule, or could not be sent to."""
        variant = self._asked.get(contact.packed)
        if variant is not None and variant.state is not CandidateState.ANSWERED:
            if variant in self._pending:
                self._pending.remove(variant)
            self._silent += variant.state is CandidateState.WAITING
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

    def _hear_of(self, named: Iterable[Contact], namer: Namer, hops: int) -> None:
        """One answer names these contacts, or our table does."""
        by_id = self._by_id
        for contact in named:
            known = by_id.get(contact.number)
            if known is None:
                self._add(contact, namer, hops)
            elif known.namers[-1] is not namer:
                # Only the first address that an answer gives a peer: no contact names all variants.
                known.name(contact, namer)

    def _add(self, contact: Contact, namer: Namer, hops: int) -> None:
        number = contact.number
        distance = number ^ self.target
        full = len(self._candidates) >= limits.LOOKUP_CANDIDATES
        if number == self._own_number or (full and not self._make_room(distance)):
            return
        candidate = LookupCandidate(contact, distance, hops, namer)
        self._by_id[number] = candidate
        position = bisect(self._distances, distance)
        self._distances.insert(position, distance)
        self._candidates.insert(position, candidate)

    def _make_room(self, distance: int) -> bool:
        """Drop a candidate that is not asked yet nor our own, for a new one at `distance`.

        One that is not believed goes first, then the farthest if the new one is nearer. Those that
        were asked stay, so that no contact is asked twice.
        """
        farthest = None
        for position in range(len(self._candidates) - 1, -1, -1):
            candidate = self._candidates[position]
            if candidate.is_own or candidate.was_asked:
                continue
            if not candidate.is_believed:
                farthest = position
                break
            if farthest is None and candidate.distance > distance:
                farthest = position
        if farthest is None:
            return False
        dropped = self._candidates.pop(farthest)
        del self._distances[farthest], self._by_id[dropped.variants[0].contact.number]
        return True

    def _ask(self, candidate: LookupCandidate, now: float) -> Contact:
        variant = candidate.to_ask()
        contact = variant.contact
        self._limit(variant, now)
        variant.enter(CandidateState.WAITING)
        self._pending.append(variant)
        self._asked[contact.packed] = variant
        self.requests += 1
        if len(candidate.variants) > 1:
            candidate.network = self._network_of(contact)
        return contact

    def _limit(self, variant: Variant, now: float) -> None:
        timeout_s = self._timeout_s(variant.contact)
        if not variant.candidate.distance:
            # It alone may know what is looked up, and its line may be full since its last answer.
            timeout_s = max(timeout_s, limits.TIMEOUT_UNKNOWN_S)
        variant.slow_at = now + min(timeout_s, self.rules.slow_s)
        variant.give_up_at = now + timeout_s

    def _stop_waiting(self, now: float) -> int:
        """Stop waiting for the contacts whose time is over, and count those still waited for."""
        waiting, expected = 0, CandidateState.WAITING
        for variant in self._pending:
            if variant.state is expected:
                if now < variant.slow_at:
                    waiting += 1
                    continue
                variant.enter(CandidateState.SLOW)
                self._silent += 1
            if now >= variant.give_up_at:
                variant.enter(CandidateState.FAILED)
                self._given_up.append(variant.contact)
        if self._given_up:
            self._pending = [one for one in self._pending if one.state is not CandidateState.FAILED]
        return waiting

    def _nearest(self) -> Nearest:
        """The k nearest that did not fail, and some more; see `Nearest`."""
        found = Nearest(self.rules.k, self.rules.k + self.rules.spare)
        doubts = not all(namer.is_believed for namer in self._namers)
        passed_over: list[LookupCandidate] = []
        taken: Counter[Namer] = Counter()
        for candidate in self._nearest_first():
            if candidate.network is None:
                candidate.network = self._network_of(candidate.variants[0].contact)
            if doubts and not candidate.is_believed:
                found.disbelieve(candidate)
                passed_over.append(candidate)
            elif not self._is_its_turn(candidate, taken) or not found.take(candidate):
                passed_over.append(candidate)
            elif found.is_full:
                break
        if passed_over and self._silent < self.rules.silent_max:
            found.take_passed_over(passed_over)
        return found

    def _is_its_turn(self, candidate: LookupCandidate, taken: Counter[Namer]) -> bool:
        return not self._is_sparing or candidate.is_on_credit(taken)

    @property
    def _is_sparing(self) -> bool:
        """Whether so many are silent that few names of each contact are asked at a time.

        Many contacts are then judged at once by some of their names, and not one after another.
        """
        return self._silent >= limits.LOOKUP_SILENT_NAMED

    def _nearest_first(self) -> Iterable[LookupCandidate]:
        """All candidates, each with its present state."""
        return self._candidates

    def _is_over(self, missing: int, now: float) -> bool:
        if now >= self._ends_at or not missing:
            return True
        return self._requests_left() <= 0 and not self._pending

    def _requests_left(self) -> int:
        """How many contacts may still be asked, silent ones aside up to their own cap."""
        aside = min(self._silent, self.rules.silent_max)
        return self.rules.requests_max - self.requests + aside

    def _next_limit(self) -> float:
        """When the next time limit runs out: a contact's, or else that of the whole lookup."""
        at = self._ends_at
        for variant in self._pending:
            waiting = variant.state is CandidateState.WAITING
            at = min(at, variant.slow_at if waiting else variant.give_up_at)
        return at
