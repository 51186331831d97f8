"""Lookups over disjoint paths (S/Kademlia, Baumgart & Mies 2007, 4.2).

Each disjoint path is a lookup of its own, and no contact is asked by more than one. An adversary on
a path can lead only that path astray; the others still reach the target's true neighbours.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from protocol import limits
from protocol.overlay.candidates import CandidateState, LookupCandidate
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup import Lookup
from protocol.overlay.lookup_steps import AnyLookup, LookupRules, Step


class DisjointPath(Lookup):
    """One of several disjoint paths. `asked_by` holds all paths' contacts, by their packed form.

    A candidate that another path has asked is TAKEN until it answers, is slow or fails there. That
    counts here, too, but the contacts that it names are for the other path alone.
    """

    def __init__(
        self,
        target: bytes,
        seeds: Iterable[Contact],
        *,
        own_id: bytes,
        now: float,
        timeout_s: Callable[[Contact], float],
        rules: LookupRules,
        network_of: Callable[[Contact], bytes],
        asked_by: dict[bytes, "DisjointPath"],
    ) -> None:
        super().__init__(
            target,
            seeds,
            own_id=own_id,
            now=now,
            timeout_s=timeout_s,
            rules=rules,
            network_of=network_of,
        )
        self._asked_by = asked_by

    def resume(self, now: float) -> None:
        """Prepare a step of all paths: this one may have to go on for what others have learned."""
        self._finished = False
        self._stop_waiting(now)

    def answered(self, contact: Contact, named: Iterable[Contact]) -> None:
        """See AnyLookup. An answer counts until all paths are done."""
        self._finished = False
        super().answered(contact, named)

    def _nearest_first(self) -> Iterator[LookupCandidate]:
        for candidate in self._candidates:
            for variant in candidate.variants:
                if variant.contact.packed not in self._asked:
                    variant.enter(self._state_elsewhere(variant.contact))
            yield candidate

    def _state_elsewhere(self, contact: Contact) -> CandidateState:
        path = self._asked_by.get(contact.packed)
        if path is None:
            return CandidateState.NEW
        state = path._asked[contact.packed].state
        return CandidateState.TAKEN if state is CandidateState.WAITING else state


class DisjointLookup:
    """One lookup over `paths` disjoint paths; see AnyLookup.

    The seeds are dealt out in turn, nearest first. Slots are shared: each path gets its part of
    `rules.alpha`, and at least one.
    """

    def __init__(
        self,
        target: bytes,
        seeds: Iterable[Contact],
        *,
        own_id: bytes,
        now: float,
        timeout_s: Callable[[Contact], float],
        rules: LookupRules,
        network_of: Callable[[Contact], bytes],
        paths: int,
    ) -> None:
        self.target = int.from_bytes(target)
        self._k = rules.k
        self._network_of = network_of
        self._asked_by: dict[bytes, DisjointPath] = {}
        self._finished = False
        dealt = sorted(seeds, key=lambda contact: contact.number ^ self.target)
        shared = replace(
            rules,
            alpha=max(1, rules.alpha // paths),
            alpha_last=max(1, rules.alpha_last // paths),
            requests_max=max(limits.LOOKUP_PATH_REQUESTS, rules.requests_max // paths),
            silent_max=max(limits.LOOKUP_PATH_SILENT, rules.silent_max // paths),
        )
        self._paths = [
            DisjointPath(
                target,
                dealt[number::paths],
                own_id=own_id,
                now=now,
                timeout_s=timeout_s,
                rules=shared,
                network_of=network_of,
                asked_by=self._asked_by,
            )
            for number in range(paths)
        ]

    @property
    def requests(self) -> int:
        """Requests of all paths."""
        return sum(path.requests for path in self._paths)

    def next(self, now: float) -> Step:
        """See AnyLookup. It is done when every path is: one may have to go on as another fails."""
        if self._finished:
            return Step((), (), now, done=True)
        for path in self._paths:
            path.resume(now)
        steps: list[Step] = []
        for path in self._paths:
            step = path.next(now)
            self._asked_by.update((contact.packed, path) for contact in step.ask)
            steps.append(step)
        self._finished = all(step.done for step in steps)
        return Step(
            [contact for step in steps for contact in step.ask],
            [contact for step in steps for contact in step.given_up],
            min(step.wake_at for step in steps),  # also those of done paths: others wait for them
            self._finished,
        )

    def answered(self, contact: Contact, named: Iterable[Contact]) -> None:
        """See AnyLookup. The contacts named are for the path that asked."""
        path = self._asked_by.get(contact.packed)
        if path is not None and not self._finished:
            path.answered(contact, named)

    def asked(self, contact: Contact, now: float) -> None:
        """See AnyLookup."""
        path = self._asked_by.get(contact.packed)
        if path is not None:
            path.asked(contact, now)

    def failed(self, contact: Contact) -> None:
        """See AnyLookup."""
        path = self._asked_by.get(contact.packed)
        if path is not None:
            path.failed(contact)

    def stop(self) -> None:
        """See AnyLookup."""
        self._finished = True

    def closest(self) -> list[Contact]:
        """See AnyLookup. Each peer counts once, whichever paths have asked it."""
        found = [contact for path in self._paths for contact in path.closest()]
        found.sort(key=lambda contact: contact.number ^ self.target)
        kept: list[Contact] = []
        networks: set[bytes] = set()
        for contact in found:
            network = self._network_of(contact)
            is_new = network not in networks and contact.peer_id not in networks
            if is_new:
                networks |= {network, contact.peer_id} if network else {contact.peer_id}
                kept.append(contact)
        return kept[: self._k]

    def hops_to(self, contact: Contact) -> int:
        """See AnyLookup. The steps are those of the path that asked the peer."""
        path = self._asked_by.get(contact.packed)
        return path.hops_to(contact) if path is not None else 0


def start_lookup(
    target: bytes,
    seeds: Iterable[Contact],
    *,
    own_id: bytes,
    now: float,
    timeout_s: Callable[[Contact], float],
    rules: LookupRules,
    network_of: Callable[[Contact], bytes],
    paths: int,
) -> AnyLookup:
    """A plain lookup, or one over several disjoint `paths`."""
    single = Lookup if paths == 1 else partial(DisjointLookup, paths=paths)
    return single(
        target,
        seeds,
        own_id=own_id,
        now=now,
        timeout_s=timeout_s,
        rules=rules,
        network_of=network_of,
    )
