"""What a lookup knows of each peer it heard of, and of each address at which it was named.

A peer is a candidate once, however many addresses it is named at: a contact that names a true
neighbour at a dead address must not hide it. Its variants are tried in the order of how many
contacts named them, one at a time, the next as soon as one is slow.

A contact that named several silent peers is believed no longer: identities need no host to be named
by liars, and each that is asked costs a slot and a request.
"""

from collections import Counter
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


_SILENT = CandidateState.SLOW
_NO_VERDICT = frozenset({CandidateState.WAITING, CandidateState.TAKEN, CandidateState.NEW})


class Namer:
    """One answer that named peers: how many of them were asked, answered, and are silent.

    Of the peers that an honest contact names fewer are dead than alive.
    """

    __slots__ = ("answered", "asked", "silent")

    def __init__(self) -> None:
        self.answered = self.asked = self.silent = 0

    @property
    def is_believed(self) -> bool:
        """Whether fewer than LOOKUP_SILENT_NAMED more of its peers are silent than answered."""
        return self.silent < self.answered + limits.LOOKUP_SILENT_NAMED

    def has_credit(self, more: int) -> bool:
        """Whether it is believed until a verdict on one besides all that were asked and `more`."""
        return self.asked + more < 2 * self.answered + limits.LOOKUP_SILENT_NAMED

    @property
    def is_reliable(self) -> bool:
        """Whether at most one of three peers that it named and that were asked is silent."""
        return 2 * self.silent <= self.answered


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
        candidate.judge(state)


class LookupCandidate:
    """A peer in one lookup, and what became of it.

    `hops` is 1 for our own contacts, and one more than its namer's for any other. `network` is that
    of the variant which counts at present, empty if it has no limit, None until it matters: most
    candidates are too far away. `namers` are the answers that named the peer, the last one last.
    """

    __slots__ = (
        "_is_asked",
        "_verdict",
        "distance",
        "hops",
        "namers",
        "network",
        "state",
        "variants",
    )

    def __init__(self, contact: Contact, distance: int, hops: int, namer: Namer) -> None:
        self.distance = distance
        self.hops = hops
        self.namers = [namer]
        self.network: bytes | None = None
        self.state = CandidateState.NEW
        self.variants = [Variant(self, contact)]
        self._verdict = CandidateState.NEW
        self._is_asked = False

    @property
    def is_own(self) -> bool:
        """Whether our own table has it: there are only contacts that once answered us."""
        return self.hops == 1

    @property
    def is_believed(self) -> bool:
        """Whether it is our own, or has answered, or was named by one that is believed."""
        return (
            self.is_own
            or self.state is CandidateState.ANSWERED
            or any(namer.is_believed for namer in self.namers)
        )

    def is_on_credit(self, taken: Counter[Namer]) -> bool:
        """Whether it is our own, or was asked, or was named by one with credit, which it takes.

        `taken` counts what was taken of the credit of each namer in one look at all candidates.
        """
        if self.is_own or self.state is not CandidateState.NEW:
            return True
        has_credit = any(namer.has_credit(taken[namer]) for namer in self.namers)
        taken.update(self.namers if has_credit else ())
        return has_credit

    @property
    def is_reliable(self) -> bool:
        """Whether it is our own, or was named by a reliable one."""
        return self.is_own or any(namer.is_reliable for namer in self.namers)

    @property
    def was_asked(self) -> bool:
        """Whether any of its variants was."""
        return any(
            variant.state not in {CandidateState.NEW, CandidateState.TAKEN}
            for variant in self.variants
        )

    def name(self, contact: Contact, namer: Namer) -> None:
        """One more answer named this peer, at an address known already or at another.

        Where the variants are too many, the newcomer takes the place of the least named one that
        was not asked.
        """
        self.namers.append(namer)
        namer.asked += self._is_asked
        self._count(namer, 1)
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

    def judge(self, entered: CandidateState) -> None:
        """A variant entered a state: the namers of a silent peer lose by it, until it answers."""
        if entered is CandidateState.WAITING and not self._is_asked:
            self._is_asked = True
            for namer in self.namers:
                namer.asked += 1
        if self._verdict is CandidateState.ANSWERED or entered in _NO_VERDICT:
            return
        verdict = CandidateState.ANSWERED if entered is CandidateState.ANSWERED else _SILENT
        if verdict is not self._verdict:
            for namer in self.namers:
                self._count(namer, -1)
            self._verdict = verdict
            for namer in self.namers:
                self._count(namer, 1)

    def _count(self, namer: Namer, change: int) -> None:
        if self._verdict is CandidateState.ANSWERED:
            namer.answered += change
        elif self._verdict is _SILENT:
            namer.silent += change

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


_OWN_HOLDS = 1 << 16
"""More than any number of candidates: one that once answered holds its network's place alone."""


class Nearest:
    """What a step of a lookup sees of the candidates, which are taken nearest first.

    `near` of the k nearest did not fail and `heard` of them answered; `eligible` are those to ask.
    Of a network one counts, and in it one more is asked at a time than are silent there.

    Some more than k may be asked, as a slow candidate is probably dead: the candidate that would
    take its place is asked right away, and the lookup still waits for both.
    """

    __slots__ = ("_asked", "_held", "_k", "_most", "_silent", "eligible", "heard", "near")

    def __init__(self, k: int, most: int) -> None:
        self.near = self.heard = 0
        self.eligible: list[LookupCandidate] = []
        self._k, self._most, self._asked = k, most, 0
        self._held: dict[bytes, int] = {}
        self._silent: dict[bytes, int] = {}

    @property
    def is_full(self) -> bool:
        """Whether as many as may be asked are."""
        return self._asked + len(self.eligible) >= self._most

    def take(self, candidate: LookupCandidate) -> bool:
        """Count a candidate; False passes it over, as its network has several silent ones."""
        state, network = candidate.state, candidate.network
        held = 0
        if network:
            silent, held = self._silent.get(network, 0), self._held.get(network, 0)
            if state is CandidateState.FAILED:
                self._silent[network] = silent + 1
                return True
            if silent >= limits.LOOKUP_SILENT_PER_NETWORK and not candidate.is_reliable:
                if state is CandidateState.NEW:
                    return False
                if state is CandidateState.SLOW:
                    return True
            if held > silent and (held >= _OWN_HOLDS or not candidate.is_own):
                return True
            self._hold(candidate)
        elif state is CandidateState.FAILED:
            return True
        if self.near < self._k and not held:
            self.near += 1
            self.heard += state is CandidateState.ANSWERED
        if state is CandidateState.NEW:
            self.eligible.append(candidate)
        elif state is not CandidateState.SLOW:
            self._asked += 1
        return True

    def disbelieve(self, candidate: LookupCandidate) -> None:
        """Count a candidate that is passed over among the silent of its network, if it is."""
        network = candidate.network
        if network and candidate.state >= CandidateState.SLOW:
            self._silent[network] = self._silent.get(network, 0) + 1

    def take_passed_over(self, candidates: list[LookupCandidate]) -> None:
        """Where fewer than k are known, those passed over stand behind, unless they are silent."""
        for candidate in candidates:
            if self.near >= self._k or self.is_full:
                break
            network, state = candidate.network, candidate.state
            if state >= CandidateState.SLOW or (network and self._held.get(network, 0)):
                continue
            if network:
                self._hold(candidate)
            self.near += 1
            if state is CandidateState.NEW:
                self.eligible.append(candidate)
            else:
                self._asked += 1

    def _hold(self, candidate: LookupCandidate) -> None:
        network, state = candidate.network or b"", candidate.state
        if state is CandidateState.SLOW:
            self._silent[network] = self._silent.get(network, 0) + 1
        elif candidate.is_own or state is CandidateState.ANSWERED:
            self._held[network] = _OWN_HOLDS
        else:
            self._held[network] = self._held.get(network, 0) + 1
