"""The paths of a link as people know them: the one that ICE selected, and those kept beside it."""

from dataclasses import dataclass

from protocol.addresses import Address
from protocol.ice.candidates import CandidateKind
from protocol.ice.paths.report import PathReport
from protocol.ice.paths.selector import PathClass
from protocol.identity import PeerId
from protocol.places.tenure import RELAYED, network_of


@dataclass(frozen=True, slots=True)
class FoundPath:
    """The two addresses of a pair (RFC 8445), and how each was learned.

    By a relay both are that of the relay, whose id is `relay`. `by_stream`: it goes by a TLS stream
    to that relay or, without one, between the two peers.
    """

    local: Address
    local_type: CandidateKind
    remote: Address
    remote_type: CandidateKind
    relay: PeerId | None = None
    by_stream: bool = False

    @property
    def kind(self) -> PathClass:
        """By a stream, else direct, or relayed where either address is that of a relay."""
        if self.by_stream:
            return PathClass.STREAM
        is_relayed = CandidateKind.RELAYED in (self.local_type, self.remote_type)
        return PathClass.RELAYED if is_relayed else PathClass.DIRECT

    @property
    def way(self) -> str:
        """The word for `kind`: `direct`, `relayed` or `stream`."""
        return self.kind.name.lower()

    @property
    def network(self) -> bytes:
        """The public network of the peer's address as `network_of` gives it, or RELAYED."""
        is_direct = self.kind is PathClass.DIRECT
        return network_of(self.remote.host) if is_direct else RELAYED


@dataclass(frozen=True, slots=True)
class MeasuredPath:
    """One path of an open link at one moment: its ends, how good it is, and why it carries the link
    or does not.
    """

    ends: FoundPath
    report: PathReport
