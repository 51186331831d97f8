"""What a kernel may do for datagrams: cut and join them in bulk, keep them whole, end them early.

Each function tells whether the kernel agreed, and raises nothing, so that callers can fall back.
Python has no names for most of these options; the numbers are those of each system's headers.
"""

import errno
import socket
import struct
import sys
from typing import Any, Final

SEGMENTS_MAX: Final = 64
"""UDP_MAX_SEGMENTS of Linux before 6.9; later versions allow twice as many."""

BUFFER_BYTES_MAX: Final = 65_507
"""A buffer to be cut is one UDP datagram to the kernel until the last moment."""

PARTS_MAX: Final = 1024
"""UIO_MAXIOV of Linux: so many parts one call gathers."""

_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
_SEGMENT_SIZE = struct.Struct("=H")
_RECEIVED_SIZE = struct.Struct("=i")

GRO_CONTROL_BYTES: Final = 64
"""Room for the control message that tells the size of joined datagrams."""

UNUSABLE: Final = frozenset({errno.EIO, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOPROTOOPT})
"""With these a kernel refuses to cut a buffer: no checksum offload on the way out, a segment that
does not fit the interface, or a tunnel that cannot."""

TOO_LARGE: Final = errno.EMSGSIZE
"""So newer kernels (Linux 6.18; older ones by EINVAL) refuse to cut a buffer whose segments do not
fit the interface. A datagram of the same size that is sent by itself is fragmented, and smaller
segments are cut as before."""

_WHOLE: Final = {
    "linux": {socket.AF_INET: (0, 10, 0, 3), socket.AF_INET6: (41, 23, 0, 3)},
    "darwin": {socket.AF_INET: (0, 28, 0, 1), socket.AF_INET6: (41, 62, 0, 1)},
    "win32": {socket.AF_INET: (0, 14, 0, 1), socket.AF_INET6: (41, 14, 0, 1)},
}
"""Level, option, value for datagrams that may be cut, value for those that may not: IP_MTU_DISCOVER
with DONT and PROBE, IP_DONTFRAG, IP_DONTFRAGMENT, and their counterparts of IPv6."""


_TTL_OF_SOCKET: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_TTL),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS),
}
_TTL_OF_DATAGRAM: Final = {
    "linux": {socket.AF_INET: (0, 2), socket.AF_INET6: (41, 52)},
}
"""IP_TTL (Linux 3.13) and IPV6_HOPLIMIT, as control messages of one datagram."""

_TTL = struct.Struct("=i")


def can_cut(own_socket: socket.socket) -> bool:
    """Whether the kernel knows how to cut a buffer into datagrams (UDP GSO, Linux 4.18)."""
    if sys.platform != "linux":
        return False
    try:
        own_socket.getsockopt(_SOL_UDP, _UDP_SEGMENT)
    except OSError:
        return False
    return True


def cut_at(size: int) -> list[tuple[int, int, bytes]]:
    """The control message that asks for datagrams of `size` bytes."""
    return [(_SOL_UDP, _UDP_SEGMENT, _SEGMENT_SIZE.pack(size))]


def ask_to_join(own_socket: socket.socket) -> bool:
    """Let the kernel join datagrams that arrive together (UDP GRO, Linux 5.0), if it can."""
    if sys.platform != "linux":
        return False
    try:
        own_socket.setsockopt(_SOL_UDP, _UDP_GRO, 1)
    except OSError:
        return False
    return True


def joined_size(control: list[tuple[int, int, bytes]], received_bytes: int) -> int:
    """The size of each datagram of what was received, from its control messages."""
    for level, kind, data in control:
        if (level, kind) == (_SOL_UDP, _UDP_GRO) and len(data) >= _RECEIVED_SIZE.size:
            return int(_RECEIVED_SIZE.unpack_from(data)[0])
    return received_bytes


def let_be_cut(own_socket: Any, *, allowed: bool) -> bool:
    """Allow or forbid routers to fragment datagrams; False if this system has no such option."""
    option = _WHOLE.get(sys.platform, {}).get(own_socket.family)
    if option is None:
        return False
    level, name, cut, whole = option
    try:
        own_socket.setsockopt(level, name, cut if allowed else whole)
    except OSError:
        return False
    return True


def ttl_of_one(own_socket: socket.socket, ttl: int) -> list[tuple[int, int, bytes]] | None:
    """The control message that gives one datagram a time to live; None if there is none here."""
    option = _TTL_OF_DATAGRAM.get(sys.platform, {}).get(own_socket.family)
    return None if option is None else [(*option, _TTL.pack(ttl))]


def set_ttl(own_socket: Any, ttl: int) -> int | None:
    """Give what the socket sends from now on a time to live; returns the one until now, or None."""
    option = _TTL_OF_SOCKET.get(own_socket.family)
    if option is None:
        return None
    try:
        usual: int = own_socket.getsockopt(*option)
        own_socket.setsockopt(*option, ttl)
    except OSError:
        return None
    return usual
