"""The paths of a link as people know them: the one that ICE selected, and those kept beside it."""

from dataclasses import dataclass

from protocol.addresses import Address
from protocol.ice.candidates import CandidateKind
from protocol.ice.paths.report import PathReport
from protocol.identity import PeerId
from protocol.places.tenure import RELAYED, network_of


@dataclass(frozen=True, slots=True)
class FoundPath:
    """The two addresses of a pair (RFC 8445), and how each was learned.

    By a relay both are that of the relay, whose id is `relay`.
    """

    local: Address
    local_type: CandidateKind
    remote: Address
    remote_type: CandidateKind
    relay: PeerId | None = None

    @property
    def way(self) -> str:
        """`direct`, or `relayed` where either address is a relay's."""
        ends = (self.local_type, self.remote_type)
        return "relayed" if CandidateKind.RELAYED in ends else "direct"

    @property
    def network(self) -> bytes:
        """The public network of the peer's address as `network_of` gives it, or RELAYED."""
        return RELAYED if self.way == "relayed" else network_of(self.remote.host)


@dataclass(frozen=True, slots=True)
class MeasuredPath:
    """One path of an open link at one moment: its ends, how good it is, and why it carries the link
    or does not.
    """

    ends: FoundPath
    report: PathReport
