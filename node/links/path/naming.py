"""The addresses of a link's pairs, as people and the peer know them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from node.links.path.found_path import FoundPath
from protocol.addresses import Address
from protocol.causes.tried import TriedPair
from protocol.description import IceCandidate
from protocol.ice.agent import IceAgent
from protocol.ice.candidates import CandidateKind, LocalCandidate
from protocol.ice.pairs import PairReport
from protocol.overlay.contacts import Contact


class PairNames:
    """Of one agent. `relay_at` gives the relay behind a relayed base. Until `ours` are known, a
    base stands for itself.
    """

    def __init__(self, agent: IceAgent, relay_at: Callable[[Address], Contact | None]) -> None:
        self._agent = agent
        self._relay_at = relay_at
        self.ours: Sequence[LocalCandidate] = ()

    def described(self, ours: Sequence[LocalCandidate]) -> None:
        """The peer is told these candidates of ours."""
        self.ours = ours

    def tried(self) -> tuple[TriedPair, ...]:
        """The pairs so far, with their outcomes."""
        return tuple(
            TriedPair(*self._local_end(row), *self._remote_end(row), row.outcome)
            for row in self._agent.report()
        )

    def why_none(self, theirs: Sequence[IceCandidate]) -> str:
        """Why no pair works, where the peer has told these candidates."""
        if self._agent.report():
            return "no pair of addresses worked"
        named = ", ".join(str(one.address) for one in self.ours)
        told = ", ".join(str(one.address) for one in theirs) or "none"
        return f"none of our addresses ({named}) fits theirs ({told})"

    def path_of(self, base: Address, remote: Address) -> FoundPath:
        """The path of a pair that the agent has."""
        ends = base, remote
        row = next(row for row in self._agent.report() if (row.base, row.remote) == ends)
        relay = self._relay_at(row.base)
        relay_id = relay.peer_id if relay is not None else None
        by_stream = self._agent.goes_by_stream(row.base)
        return FoundPath(*self._local_end(row), *self._remote_end(row), relay_id, by_stream)

    def as_now(self, path: FoundPath, base: Address) -> FoundPath:
        """The same pair: the way to its relay may be another one by now."""
        by_stream = self._agent.goes_by_stream(base)
        return path if by_stream == path.by_stream else replace(path, by_stream=by_stream)

    def _local_end(self, row: PairReport) -> tuple[Address, CandidateKind]:
        """Our address of a pair: what the peer saw, or could have seen of a socket's many."""
        relay = self._relay_at(row.base)
        if relay is not None:
            return relay.address, CandidateKind.RELAYED
        of_base = [one for one in self.ours if one.base == row.base]
        address = row.mapped or (of_base[0].address if of_base else row.base)
        kinds = {one.address: one.kind for one in of_base}
        return address, kinds.get(address, CandidateKind.PEER_REFLEXIVE)

    def _remote_end(self, row: PairReport) -> tuple[Address, CandidateKind]:
        """The peer's address of a pair; that of the relay where it stands for the relay's."""
        relay = self._relay_at(row.base)
        return relay.address if relay is not None else row.remote, row.remote_kind
