"""The path that ICE selected for a link."""

from dataclasses import dataclass

from protocol.addresses import Address
from protocol.causes.tried import CandidateType


@dataclass(frozen=True, slots=True)
class FoundPath:
    """The two addresses of a selected pair (RFC 8445), and how each was learned."""

    local: Address
    local_type: CandidateType
    remote: Address
    remote_type: CandidateType

    @property
    def way(self) -> str:
        """`direct`, or `relayed` where either address is a relay's."""
        ends = (self.local_type, self.remote_type)
        return "relayed" if CandidateType.RELAYED in ends else "direct"
