"""Lookups over disjoint paths (S/Kademlia, Baumgart & Mies 2007, 4.2).

Each path is a lookup of its own, and no contact is asked by more than one. An adversary on a path
can lead only that path astray; the others still reach the target's true neighbours.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from protocol import limits
from protocol.overlay.candidates import CandidateState
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup import Lookup, LookupRules


class DisjointLookup:
    """`paths` lookups for one target, driven like one `Lookup`.

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
        self._asked_by: dict[bytes, Lookup] = {}
        self._stopped = False
        dealt = sorted(seeds, key=lambda contact: contact.number ^ self.target)
        shared = replace(
            rules,
            alpha=max(1, rules.alpha // paths),
            alpha_last=max(1, rules.alpha_last // paths),
            requests_max=max(limits.PATH_REQUESTS, rules.requests_max // paths),
        )
        self._paths = [
            Lookup(
                target,
                dealt[number::paths],
                own_id=own_id,
                now=now,
                timeout_s=timeout_s,
                rules=shared,
                network_of=network_of,
                elsewhere=self._elsewhere,
            )
            for number in range(paths)
        ]

    def _elsewhere(self, contact: Contact) -> CandidateState:
        """What a path that has not asked this contact may make of it."""
        path = self._asked_by.get(contact.packed)
        if path is None:
            return CandidateState.NEW
        state = path.state_of(contact)
        return (
            state
            if state in {CandidateState.ANSWERED, CandidateState.FAILED}
            else CandidateState.TAKEN
        )

    @property
    def finished(self) -> bool:
        """Whether every path is; one that was may have to go on when another fails."""
        return self._stopped or all(path.finished for path in self._paths)

    @property
    def requests(self) -> int:
        """Requests of all paths."""
        return sum(path.requests for path in self._paths)

    def take_given_up(self) -> list[Contact]:
        """The contacts that have been given up since the last call."""
        return [contact for path in self._paths for contact in path.take_given_up()]

    def next(self, now: float) -> list[Contact]:
        """The contacts to ask at once, by whichever path."""
        if self.finished:
            return []
        for path in self._paths:
            path.resume()
            path.stop_waiting(now)
        asked: list[Contact] = []
        for path in self._paths:
            for contact in path.next(now):
                self._asked_by[contact.packed] = path
                asked.append(contact)
        return asked

    def answered(self, contact: Contact, named: Iterable[Contact]) -> None:
        """`contact` answered: what it named is for the path that asked it alone."""
        path = self._asked_by.get(contact.packed)
        if path is not None and not self.finished:
            path.resume()
            path.answered(contact, named)

    def failed(self, contact: Contact) -> None:
        """`contact` cannot be used."""
        path = self._asked_by.get(contact.packed)
        if path is not None:
            path.failed(contact)

    def stop(self) -> None:
        """End every path early."""
        self._stopped = True

    def wake_at(self) -> float | None:
        """When `next` has something to do even if nothing arrives; None once finished."""
        return None if self.finished else min(path.next_limit() for path in self._paths)

    def closest(self) -> list[Contact]:
        """At most k contacts of all paths, nearest first, each answering and of another network."""
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
        """How many steps away from us this peer was named on the path that asked it."""
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
) -> Lookup | DisjointLookup:
    """A lookup over one path, or over several disjoint ones."""
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
