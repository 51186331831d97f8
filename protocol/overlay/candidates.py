"""What a lookup knows of each peer it heard of, and of each address at which it was named.

A peer is a candidate once, however many addresses it is named at: a contact that names a true
neighbour at a dead address must not hide it. Its variants are tried in the order of how many
contacts named them, one at a time, the next as soon as one is slow.
"""

from enum import IntEnum

from protocol import limits
from protocol.overlay.contacts import Contact


class CandidateState(IntEnum):
    """What became of a variant. A candidate's is the first that any of them is in."""

    ANSWERED = 0
    WAITING = 1
    TAKEN = 2
    NEW = 3
    SLOW = 4
    FAILED = 5


class Variant:
    """A peer at one address. `named` counts the contacts that named it, our own table included."""

    __slots__ = ("candidate", "contact", "give_up_at", "named", "slow_at", "state")

    def __init__(self, candidate: "LookupCandidate", contact: Contact) -> None:
        self.candidate = candidate
        self.contact = contact
        self.named = 1
        self.state = CandidateState.NEW
        self.slow_at = self.give_up_at = 0.0

    def enter(self, state: CandidateState) -> None:
        """Change the state, and the candidate's with it."""
        self.state = state
        candidate = self.candidate
        if len(candidate.variants) == 1:
            candidate.state = state
        else:
            candidate.state = min(variant.state for variant in candidate.variants)


class LookupCandidate:
    """A peer in one lookup, and what became of it.

    `hops` is 1 for our own contacts, and one more than its namer's for any other. `network` is that
    of the variant which counts at present, empty if it has no limit, None until it matters: most
    candidates are too far away. `named_in` is the number of the answer that named the peer last.
    """

    __slots__ = ("distance", "hops", "named_in", "network", "state", "variants")

    def __init__(self, contact: Contact, distance: int, hops: int, named_in: int) -> None:
        self.distance = distance
        self.hops = hops
        self.named_in = named_in
        self.network: bytes | None = None
        self.state = CandidateState.NEW
        self.variants = [Variant(self, contact)]

    @property
    def was_asked(self) -> bool:
        """Whether any of its variants was."""
        return any(
            variant.state not in {CandidateState.NEW, CandidateState.TAKEN}
            for variant in self.variants
        )

    def name(self, contact: Contact) -> None:
        """One more contact named this peer, at an address known already or at another.

        Where the variants are too many, the newcomer takes the place of the least named one that
        was not asked.
        """
        for variant in self.variants:
            if variant.contact is contact or variant.contact.packed == contact.packed:
                variant.named += 1
                return
        if len(self.variants) >= limits.LOOKUP_VARIANTS:
            least = min(self._unasked(), key=_named, default=None)
            if least is None:
                return
            self.variants.remove(least)
        newcomer = Variant(self, contact)
        self.variants.append(newcomer)
        newcomer.enter(CandidateState.NEW)

    def to_ask(self) -> Variant:
        """The variant whose turn it is; only where the candidate is NEW."""
        return max(self._unasked(), key=_named)

    def answer(self) -> Contact:
        """The variant that answered; only where the candidate is ANSWERED."""
        return next(one.contact for one in self.variants if one.state is CandidateState.ANSWERED)

    def _unasked(self) -> list[Variant]:
        return [variant for variant in self.variants if variant.state is CandidateState.NEW]


def _named(variant: Variant) -> int:
    return variant.named
