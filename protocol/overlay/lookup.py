"""A lookup as a pure state machine, without rounds: ask, hear, or stop waiting, one at a time.

Each candidate goes through these states; only WAITING ones occupy one of the alpha slots:

    NEW ──asked──> WAITING ──slow──> SLOW ──given up──> FAILED
                      └──── answered ───┴───────────────┴──> ANSWERED

With disjoint paths a NEW candidate that another path has asked becomes TAKEN, and counts for that
path alone. A slot is freed early (SLOW) when an answer is later than usual, and a late answer still
counts while the lookup runs. It ends when the k nearest candidates that did not fail have all
answered (Kademlia, 2.3), or at one of its caps.
"""

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from protocol import limits
from protocol.overlay.contacts import Contact


class State(Enum):
    """What became of a candidate."""

    NEW = "new"
    WAITING = "waiting"
    SLOW = "slow"
    FAILED = "failed"
    TAKEN = "taken"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class LookupRules:
    """How eagerly to look. `slow_s`: when a slot is freed though its answer may still come."""

    k: int = limits.K
    alpha: int = 4
    alpha_last: int = 16
    beta: int = 3
    slow_s: float = 0.45


class Candidate:
    """A contact in one lookup. `hops` counts contacts between us and whoever named it, plus 1."""

    __slots__ = ("asked_at", "contact", "distance", "give_up_at", "hops", "slow_at", "state")

    def __init__(self, contact: Contact, distance: int, hops: int) -> None:
        self.contact = contact
        self.distance = distance
        self.hops = hops
        self.state = State.NEW
        self.asked_at = self.slow_at = self.give_up_at = 0.0


class Lookup:
    """The search for the contacts nearest to `target` (20 bytes).

    `timeout_s` tells how long to wait for a contact. Drive it so: `next(now)` gives the contacts to
    ask now; `answered` and `failed` feed it; call `next` again after either, and at `wake_at`.
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
        may_ask: Callable[[Contact], bool] = lambda _: True,
    ) -> None:
        self.target = int.from_bytes(target)
        self.rules = rules or LookupRules()
        self.started_at = now
        self._ends_at = now + limits.LOOKUP_S
        self.requests = 0
        self.finished = False
        self._given_up: list[Contact] = []
        self._timeout_s = timeout_s
        self._may_ask = may_ask
        self._candidates: list[Candidate] = []
        self._pending: list[Candidate] = []
        self._by_id: dict[bytes, Candidate] = {}
        self._own_id = own_id
        for contact in seeds:
            self._add(contact, hops=1)

    def next(self, now: float) -> list[Contact]:
        """The contacts to ask at once. Also stops waiting for those whose time is over."""
        self._stop_waiting(now)
        if self.finished:
            return []
        nearest, eligible = self._nearest()
        if self._is_over(nearest, now):
            self.finished = True
            return []
        slots = self._slots(nearest)
        for candidate in self._pending:
            slots -= candidate.state is State.WAITING
        asked: list[Contact] = []
        for candidate in eligible:
            if slots <= len(asked) or self.requests >= limits.LOOKUP_REQUESTS:
                break
            if candidate.state is State.NEW:
                self._ask(candidate, now)
                asked.append(candidate.contact)
        return asked

    def answered(self, contact: Contact, named: Iterable[Contact]) -> None:
        """`contact` answered and named others. Late answers count while the lookup runs."""
        candidate = self._by_id.get(contact.peer_id)
        if self.finished or candidate is None or candidate.contact != contact:
            return
        if candidate in self._pending:
            self._pending.remove(candidate)
        candidate.state = State.ANSWERED
        for other in named:
            self._add(other, hops=candidate.hops + 1)

    def failed(self, contact: Contact) -> None:
        """`contact` cannot be used: it refused, broke a rule, or could not be sent to."""
        candidate = self._by_id.get(contact.peer_id)
        if candidate is not None and candidate.state is not State.ANSWERED:
            if candidate in self._pending:
                self._pending.remove(candidate)
            candidate.state = State.FAILED

    def take_given_up(self) -> list[Contact]:
        """The contacts that have been given up since the last call."""
        given_up, self._given_up = self._given_up, []
        return given_up

    def stop(self) -> None:
        """End early, because what was looked for is found."""
        self.finished = True

    def wake_at(self) -> float | None:
        """When `next` has something to do even if nothing arrives; None once finished."""
        if self.finished:
            return None
        at = self._ends_at
        for candidate in self._pending:
            waiting = candidate.state is State.WAITING
            at = min(at, candidate.slow_at if waiting else candidate.give_up_at)
        return at

    def closest(self) -> list[Contact]:
        """At most k contacts, nearest first, each of which answered in this lookup."""
        answered = (one.contact for one in self._candidates if one.state is State.ANSWERED)
        return [contact for contact, _ in zip(answered, range(self.rules.k), strict=False)]

    def hops_to(self, contact: Contact) -> int:
        """How many steps away from us this candidate was named; 1 for those we knew."""
        candidate = self._by_id.get(contact.peer_id)
        return candidate.hops if candidate else 0

    def _add(self, contact: Contact, hops: int) -> None:
        if contact.peer_id in self._by_id or contact.peer_id == self._own_id:
            return
        candidate = Candidate(contact, contact.number ^ self.target, hops)
        if len(self._candidates) >= limits.LOOKUP_CANDIDATES and not self._make_room(candidate):
            return
        self._by_id[contact.peer_id] = candidate
        insort(self._candidates, candidate, key=_distance)

    def _make_room(self, newcomer: Candidate) -> bool:
        """Drop the farthest candidate not asked yet, if the newcomer is nearer.

        Those that were asked stay, so that nobody is asked twice.
        """
        for position in range(len(self._candidates) - 1, -1, -1):
            candidate = self._candidates[position]
            if candidate.distance <= newcomer.distance:
                return False
            if candidate.state is State.NEW:
                del self._candidates[position]
                del self._by_id[candidate.contact.peer_id]
                return True
        return False

    def _ask(self, candidate: Candidate, now: float) -> None:
        timeout_s = self._timeout_s(candidate.contact)
        candidate.state = State.WAITING
        candidate.asked_at = now
        candidate.slow_at = now + min(timeout_s, self.rules.slow_s)
        candidate.give_up_at = now + timeout_s
        self._pending.append(candidate)
        self.requests += 1

    def _stop_waiting(self, now: float) -> None:
        for candidate in self._pending:
            if candidate.state is State.WAITING and now >= candidate.slow_at:
                candidate.state = State.SLOW
            if candidate.state is State.SLOW and now >= candidate.give_up_at:
                candidate.state = State.FAILED
                self._given_up.append(candidate.contact)
        if self._given_up:
            self._pending = [one for one in self._pending if one.state is not State.FAILED]

    def _nearest(self) -> tuple[list[Candidate], list[Candidate]]:
        """The k nearest that did not fail, and whom to ask now: as many, not counting SLOW ones.

        A slow candidate is probably dead. Whoever would take its place is asked right away, and the
        lookup still waits for both.
        """
        nearest: list[Candidate] = []
        eligible: list[Candidate] = []
        k = self.rules.k
        for candidate in self._candidates:
            state = candidate.state
            if state is State.NEW and not self._may_ask(candidate.contact):
                candidate.state = state = State.TAKEN
            if state is State.FAILED or state is State.TAKEN:
                continue
            if len(nearest) < k:
                nearest.append(candidate)
            if state is not State.SLOW:
                eligible.append(candidate)
                if len(eligible) == k:
                    break
        return nearest, eligible

    def _slots(self, nearest: list[Candidate]) -> int:
        """More slots once the nearest have answered: what is left is only to hear the others."""
        settled = all(one.state is State.ANSWERED for one in nearest[: self.rules.beta])
        return self.rules.alpha_last if settled and nearest else self.rules.alpha

    def _is_over(self, nearest: list[Candidate], now: float) -> bool:
        if now >= self._ends_at:
            return True
        if all(one.state is State.ANSWERED for one in nearest):
            return True
        return self.requests >= limits.LOOKUP_REQUESTS and not self._pending


def _distance(candidate: Candidate) -> int:
    return candidate.distance
