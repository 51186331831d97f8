"""Heartbeats, which tell whether the peer is there and what the path carries (RFC 9260, 8.3).

A path probe is a heartbeat padded to the size in question (RFC 8899, RFC 4820). The size
of a probe is remembered here, under a random number, and never read from its echo.
"""

from protocol.sctp import chunks, limits
from protocol.sctp.core import Core
from protocol.sctp.timers import Timer

_NAME_BYTES = 8
_HEARTBEAT_BYTES = chunks.CHUNK_HEADER_BYTES + 4 + _NAME_BYTES


class Liveness:
    """Sends heartbeats when nothing is heard for the configured interval."""

    def __init__(self, core: Core) -> None:
        self._writer = core.writer
        self._timers = core.timers
        self._random = core.random
        self._interval_s = core.config.heartbeat_s
        self._pending: dict[bytes, int] = {}
        self._heard_at = 0.0
        self._unanswered = 0

    def start(self, now: float) -> None:
        """The association is established."""
        self._heard_at = now
        if self._interval_s is not None:
            self._timers.at[Timer.HEARTBEAT] = now + self._interval_s

    def heard(self, now: float) -> None:
        """A valid packet came."""
        self._heard_at = now
        self._unanswered = 0

    def on_timer(self, now: float) -> bool:
        """Send a heartbeat on an idle path. False: too many have gone unanswered."""
        if self._interval_s is None:
            return True
        quiet_until = self._heard_at + self._interval_s
        if now >= quiet_until:
            self._unanswered += 1
            self._send(0)
            quiet_until = now + self._interval_s
        self._timers.at[Timer.HEARTBEAT] = quiet_until
        return self._unanswered <= limits.RETRANSMITS_MAX

    def forget_probes(self) -> None:
        """The path is another one: what its predecessor carries is of no use."""
        self._pending.clear()

    def probe(self, packet_bytes: int) -> None:
        """Send a packet of exactly so many bytes (a multiple of four)."""
        self._send(packet_bytes)

    def _send(self, packet_bytes: int) -> None:
        while len(self._pending) >= limits.PROBES_PENDING:
            del self._pending[next(iter(self._pending))]
        name = self._random.randbytes(_NAME_BYTES)
        self._pending[name] = packet_bytes
        info = chunks.encode_parameters([(chunks.PARAMETER_HEARTBEAT_INFO, name)])
        packet = chunks.encode_chunk(chunks.HEARTBEAT, 0, info)
        padding = packet_bytes - chunks.COMMON_HEADER_BYTES - _HEARTBEAT_BYTES
        if padding >= chunks.CHUNK_HEADER_BYTES:
            zeros = bytes(padding - chunks.CHUNK_HEADER_BYTES)
            packet += chunks.encode_chunk(chunks.PADDING, 0, zeros)
        self._writer.queue(packet)

    def on_heartbeat(self, value: bytes) -> None:
        """Echo the peer's heartbeat."""
        self._writer.queue(chunks.encode_chunk(chunks.HEARTBEAT_ACK, 0, value))

    def on_heartbeat_ack(self, value: bytes) -> int | None:
        """Return the size of the probe that came through; None if it was a plain heartbeat."""
        for kind, name in chunks.split_parameters(value):
            if kind == chunks.PARAMETER_HEARTBEAT_INFO:
                return self._pending.pop(name, 0) or None
        return None
