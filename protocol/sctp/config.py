"""The settings of one association, checked when made."""

from dataclasses import dataclass
from enum import Enum

from protocol.sctp import limits
from protocol.sctp.errors import SctpMisuse


class Role(Enum):
    """Our end of the DTLS handshake: the client opens even streams (RFC 8832, 6)."""

    CLIENT = 0
    SERVER = 1


@dataclass(frozen=True, slots=True)
class AssociationConfig:
    """How an association behaves; raises SctpMisuse when a value is out of range.

    `max_message_bytes` is what we accept and have announced by signaling, `peer_max_message_bytes`
    what the peer has announced (0: no bound). `own_peer` says that the other side is this software:
    then each asks the other for SACKs, and timeouts may be shorter. `packet_bytes` is the space for
    an SCTP packet in one datagram, after DTLS.
    """

    role: Role
    own_peer: bool = False
    local_port: int = 5000
    remote_port: int = 5000
    max_message_bytes: int = 256 * 1024
    peer_max_message_bytes: int = 64 * 1024
    packet_bytes: int = limits.PACKET_BYTES_DEFAULT
    receive_window_bytes: int = limits.RECEIVE_WINDOW_BYTES
    send_buffer_bytes: int = limits.SEND_BUFFER_BYTES
    streams: int = limits.STREAMS_MAX
    heartbeat_s: float | None = limits.HEARTBEAT_S

    def __post_init__(self) -> None:
        if not limits.PACKET_BYTES_MIN <= self.packet_bytes <= limits.PACKET_BYTES_MAX:
            raise SctpMisuse(f"A packet cannot have {self.packet_bytes} bytes.")
        if not (0 < self.local_port <= 65535 and 0 < self.remote_port <= 65535):
            raise SctpMisuse("SCTP ports go from 1 to 65535.")
        if not 1 <= self.streams <= limits.STREAMS_MAX:
            raise SctpMisuse(f"An association cannot have {self.streams} streams.")
        if self.max_message_bytes < 1 or self.peer_max_message_bytes < 0:
            raise SctpMisuse("A message bound cannot be negative.")
        if self.receive_window_bytes < 2 * self.max_message_bytes:
            raise SctpMisuse("The receive window must hold two messages of the largest size.")
        if self.receive_window_bytes < limits.PEER_WINDOW_BYTES_MIN:
            raise SctpMisuse("No peer accepts so small a receive window.")
        if self.send_buffer_bytes < self.packet_bytes:
            raise SctpMisuse("The send buffer must hold a packet.")

    @property
    def rto_min_s(self) -> float:
        """Least retransmission timeout towards this kind of peer, in seconds."""
        return limits.RTO_MIN_OWN_S if self.own_peer else limits.RTO_MIN_FOREIGN_S
