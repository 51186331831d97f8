"""SCTP packets as a pcap file, which Wireshark and tshark read.

Captured inside DTLS, packets have no IP header, so each gets an IPv4 header of
its own: ours come from OWN_ADDRESS, the peer's from PEER_ADDRESS (RFC 5737).
"""

from ipaddress import IPv4Address
from struct import Struct

OWN_ADDRESS = IPv4Address("192.0.2.1")
PEER_ADDRESS = IPv4Address("192.0.2.2")

_FILE = Struct("<LHHlLLL")
_RECORD = Struct("<LLLL")
_IP = Struct("!BBHHHBBH4s4s")
_MAGIC_NANOSECONDS = 0xA1B23C4D
_VERSION = (2, 4)
_LINKTYPE_IPV4 = 228
_SCTP = 132
_TTL = 64
_IP_WORDS = 5
_SNAP_BYTES_MAX = 65535
_NANOSECONDS = 1_000_000_000

FILE_HEADER = _FILE.pack(_MAGIC_NANOSECONDS, *_VERSION, 0, 0, _SNAP_BYTES_MAX, _LINKTYPE_IPV4)
"""How a file begins."""


def record(packet: bytes, at: float, *, ours: bool, snap_bytes: int = _SNAP_BYTES_MAX) -> bytes:
    """The record of one SCTP packet seen at a time (seconds since 1970), cut to `snap_bytes`."""
    total = _IP.size + len(packet)
    ends = (OWN_ADDRESS.packed, PEER_ADDRESS.packed)
    source, target = ends if ours else ends[::-1]
    fields = (0x40 | _IP_WORDS, 0, total, 0, 0, _TTL, _SCTP)
    header = _IP.pack(*fields, 0, source, target)
    header = _IP.pack(*fields, _checksum(header), source, target)
    kept = (header + packet)[:snap_bytes]
    seconds, nanoseconds = divmod(round(at * _NANOSECONDS), _NANOSECONDS)
    return _RECORD.pack(seconds & 0xFFFFFFFF, nanoseconds, len(kept), total) + kept


def _checksum(header: bytes) -> int:
    """Of an IPv4 header whose checksum is zero (RFC 1071)."""
    total = sum(int.from_bytes(header[at : at + 2]) for at in range(0, len(header), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
