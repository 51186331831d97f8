"""The pairs of one generation of candidates (RFC 8445, 6.1.2), and which to check next.

Candidates with one base make one pair for each address of the peer, the base's: that is what is
left of pairing and pruning (6.1.2.4) when our side's addresses are known by their base.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from protocol import limits
from protocol.addresses import Address
from protocol.ice.candidates import (
    CandidateKind,
    RemoteCandidate,
    is_relay_priority,
    may_pair,
    may_pair_heard,
    priority,
)
from protocol.ice.pairs import CandidatePair, PairEvent, PairState

_PAIRS_MOST = limits.ICE_PAIRS + limits.ICE_PAIRS_LEARNED


@dataclass(frozen=True, slots=True)
class Base:
    """Where checks leave from. `quiet`: only to those whose checks arrive there.

    `peer`, if not None, is the only address of the peer that this base reaches.
    """

    address: Address
    kind: CandidateKind
    priority: int
    quiet: bool
    peer: Address | None

    def reaches(self, remote: Address) -> bool:
        """Whether a check may go from here to an address of the peer."""
        if self.peer is not None:
            return self.peer == remote
        return may_pair(self.address, self.kind, remote)

    def hears(self, source: Address) -> bool:
        """Whether a check that came from there may make a pair with this base.

        Unlike `reaches` also between loopback and other addresses: a peer on this machine may send
        from any of them, and no other machine can send from loopback.
        """
        if self.peer is not None:
            return self.peer == source
        return may_pair_heard(self.address, self.kind, source)


class Bases:
    """The bases of an agent, which outlive a restart."""

    def __init__(self) -> None:
        self._bases: dict[Address, Base] = {}
        self._positions = 0

    def __iter__(self) -> Iterator[Base]:
        return iter(self._bases.values())

    def get(self, address: Address) -> Base | None:
        """The base at this address."""
        return self._bases.get(address)

    def add(
        self, address: Address, kind: CandidateKind, *, quiet: bool, peer: Address | None
    ) -> Base | None:
        """Add a base, or give None if it is known already or there are too many."""
        if address in self._bases or len(self._bases) >= limits.ICE_BASES:
            return None
        preference = kind if kind is CandidateKind.RELAYED else CandidateKind.PEER_REFLEXIVE
        base = Base(address, kind, priority(preference, self._positions), quiet, peer)
        self._positions += 1
        self._bases[address] = base
        return base

    def remove(self, address: Address) -> None:
        """Forget a base."""
        self._bases.pop(address, None)


class Checklist:
    """Pairs by base and remote address, the queue of triggered checks, and the peer's addresses.

    The base at `without` makes no pair.
    """

    def __init__(self, bases: Bases, *, controlling: bool, without: Address | None = None) -> None:
        self._bases = bases
        self._without = without
        self._controlling = controlling
        self._remotes: dict[Address, RemoteCandidate] = {}
        self._told = 0
        self._pairs: dict[tuple[Address, Address], CandidatePair] = {}
        self._ordered: list[CandidatePair] = []
        self._triggered: deque[CandidatePair] = deque()

    def __iter__(self) -> Iterator[CandidatePair]:
        """All pairs, those of the highest priority first."""
        return iter(self._ordered)

    def __len__(self) -> int:
        return len(self._ordered)

    # Candidates -----------------------------------------------------------------------------

    def add_base(self, base: Base) -> None:
        """Pair a base with all that is known of the peer."""
        if not base.quiet:
            for remote in list(self._remotes.values()):
                self._pair(base, remote)

    def remove_base(self, address: Address) -> list[CandidatePair]:
        """Drop the pairs of a base, and return them."""
        gone = [pair for pair in self._ordered if pair.base == address]
        for pair in gone:
            del self._pairs[pair.base, pair.remote.address]
            self._ordered.remove(pair)
        self._triggered = deque(pair for pair in self._triggered if pair not in gone)
        return gone

    def add_remote(self, kind: CandidateKind, address: Address, told: int | None) -> None:
        """Take an address that the peer names; `told` is its priority, if the peer gives one.

        One that was peer-reflexive until now gets its true kind (RFC 8445, 7.3.1.3).
        """
        rank = priority(kind, self._told) if told is None else told
        self._told += 1
        remote = RemoteCandidate(kind, address, rank)
        known = self._remotes.get(address)
        if known is None and len(self._remotes) >= limits.ICE_ADDRESSES_LEARNED:
            return
        if known is not None and known.kind is not CandidateKind.PEER_REFLEXIVE:
            return
        self._remotes[address] = remote
        for pair in self._ordered:
            if pair.remote.address == address:
                pair.prioritize(remote, self._controlling)
        for base in self._bases:
            if not base.quiet:
                self._pair(base, remote)
        self._sort()

    def may_learn(self, base: Base, source: Address) -> bool:
        """Whether a check from there has a pair with this base, or room for one."""
        if (base.address, source) in self._pairs:
            return True
        if base.address == self._without:
            return False
        has_room = len(self._remotes) < limits.ICE_ADDRESSES_LEARNED or source in self._remotes
        return has_room and len(self._pairs) < _PAIRS_MOST and base.hears(source)

    def learn_pair(self, base: Base, source: Address, told: int) -> CandidatePair | None:
        """The pair that a check of the peer came by, new if need be (RFC 8445, 7.3.1.3 and 4).

        None if the peer has used up its addresses, or the base has no pair with the source.
        """
        if not self.may_learn(base, source):
            return None
        remote = self._remotes.get(source)
        if remote is None:
            relayed = is_relay_priority(told)
            kind = CandidateKind.RELAYED if relayed else CandidateKind.PEER_REFLEXIVE
            remote = self._remotes[source] = RemoteCandidate(kind, source, told)
        return self._pairs.get((base.address, source)) or self._add(base, remote)

    def pair_of_probe(self, probed: CandidatePair) -> CandidatePair | None:
        """The pair of a probe that was answered; None if there is no room for it."""
        base = self._bases.get(probed.base)
        remote = probed.remote
        return None if base is None else self.learn_pair(base, remote.address, remote.priority)

    def has_pair(self, base: Address, remote: Address) -> bool:
        """Whether there is a pair of these two."""
        return (base, remote) in self._pairs

    def _pair(self, base: Base, remote: RemoteCandidate) -> None:
        has_room = len(self._pairs) < limits.ICE_PAIRS
        is_new = not self.has_pair(base.address, remote.address)
        may_pair = base.address != self._without and base.reaches(remote.address)
        if has_room and is_new and may_pair:
            self._add(base, remote)

    def _add(self, base: Base, remote: RemoteCandidate) -> CandidatePair:
        pair = CandidatePair(base.address, base.kind, base.priority, remote, self._controlling)
        self._pairs[base.address, remote.address] = pair
        self._ordered.append(pair)
        self._sort()
        return pair

    def switch_role(self, *, controlling: bool) -> None:
        """Compute all priorities anew (RFC 8445, 7.3.1.1)."""
        self._controlling = controlling
        for pair in self._ordered:
            pair.prioritize(pair.remote, controlling)
        self._sort()

    def _sort(self) -> None:
        self._ordered.sort(key=_by_priority)

    # Checks ---------------------------------------------------------------------------------

    def trigger(self, pair: CandidatePair) -> None:
        """Check this pair before all that wait their turn."""
        if pair not in self._triggered:
            self._triggered.append(pair)

    def next_triggered(self) -> CandidatePair | None:
        """Take the first pair off the triggered queue whose check is still wanted."""
        while self._triggered:
            pair = self._triggered.popleft()
            if pair.state is PairState.WAITING:
                return pair
        return None

    def waiting(self) -> list[CandidatePair]:
        """Pairs whose check has not been sent, those of the highest priority first."""
        return [pair for pair in self._ordered if pair.state is PairState.WAITING]

    def retry_failed(self) -> None:
        """Let the pairs that failed wait for a new check."""
        for pair in self._ordered:
            if pair.state is PairState.FAILED:
                pair.apply(PairEvent.CHECKED_AGAIN)

    def check_others_again(self, but: CandidatePair) -> None:
        """Let all pairs but one wait for a new check, whatever came of the last."""
        for pair in self._ordered:
            if pair is not but and pair.state is not PairState.IN_PROGRESS:
                pair.apply(PairEvent.CHECKED_AGAIN)


def _by_priority(pair: CandidatePair) -> int:
    return -pair.priority
