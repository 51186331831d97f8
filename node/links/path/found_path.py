"""The path that ICE selected for a link."""

from dataclasses import dataclass

from protocol.addresses import Address
from protocol.ice.candidates import CandidateKind
from protocol.identity import PeerId


@dataclass(frozen=True, slots=True)
class FoundPath:
    """The two addresses of a selected pair (RFC 8445), and how each was learned.

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
