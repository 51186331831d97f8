"""From chunks to datagrams and back: common header, tags, checksum, and the control queue.

CRC32c comes from the C extension that aiortc already depends on. It reads only `bytes`, so the
common header with its zeroed checksum is folded into a start value once per tag, and each packet
pays one call over its chunks.
"""

from collections import deque

from google_crc32c import extend, value

from protocol.sctp import limits
from protocol.sctp.chunks import CHECKSUM, COMMON_HEADER, COMMON_HEADER_BYTES
from protocol.sctp.errors import MalformedChunk

_NO_CHECKSUM = b"\0\0\0\0"
_header_bytes = COMMON_HEADER.pack
_checksum_bytes = CHECKSUM.pack


def seal(header: bytes, chunks: bytes) -> bytes:
    """Return the datagram of an eight-byte header (ports and tag) and its chunks."""
    return header + _checksum_bytes(extend(value(header + _NO_CHECKSUM), chunks)) + chunks


def open_packet(datagram: bytes) -> tuple[int, int, int, bytes]:
    """Check a datagram's length and checksum; return source, destination, tag and its chunks.

    Raises MalformedChunk.
    """
    if len(datagram) < COMMON_HEADER_BYTES + 4:
        raise MalformedChunk("A datagram is too short for SCTP.")
    chunks = datagram[COMMON_HEADER_BYTES:]
    checksum = extend(value(datagram[:8] + _NO_CHECKSUM), chunks)
    if datagram[8:12] != _checksum_bytes(checksum):
        raise MalformedChunk("A packet's checksum does not match.")
    return *COMMON_HEADER.unpack_from(datagram), chunks


class PacketWriter:
    """Seals chunks for the peer, and keeps the control datagrams that wait to be sent."""

    __slots__ = ("_local_port", "_remote_port", "control", "dropped", "header", "start_value")

    def __init__(self, local_port: int, remote_port: int) -> None:
        self._local_port = local_port
        self._remote_port = remote_port
        self.control: deque[bytes] = deque()
        self.dropped = 0
        self.set_tag(0)

    def set_tag(self, peer_tag: int) -> None:
        """Use this verification tag from now on."""
        self.header = _header_bytes(self._local_port, self._remote_port, peer_tag)
        self.start_value = value(self.header + _NO_CHECKSUM)

    def seal(self, chunks: bytes) -> bytes:
        """Return the datagram that carries these chunks."""
        return self.header + _checksum_bytes(extend(self.start_value, chunks)) + chunks

    def queue(self, chunks: bytes) -> None:
        """Send these chunks before any data; dropped when too many wait already."""
        self._queue(self.seal(chunks))

    def queue_with_tag(self, tag: int, chunks: bytes) -> None:
        """The same with another tag: zero for INIT, the sender's own when reflecting."""
        self._queue(seal(_header_bytes(self._local_port, self._remote_port, tag), chunks))

    def _queue(self, datagram: bytes) -> None:
        if len(self.control) < limits.CONTROL_QUEUE:
            self.control.append(datagram)
        else:
            self.dropped += 1
