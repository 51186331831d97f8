"""Makes a router forget its connections, by netlink (nfnetlink_conntrack.h)."""

import socket
import struct

from scripts.lab.net.spaces import Space

_NETLINK_NETFILTER = 12
_DELETE = 1 << 8 | 2
"""NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE; without attributes it means every entry."""
_REQUEST_ACK = 1 | 4
_ANSWER_BYTES = 4096


def flush(router: Space) -> None:
    """Forget every connection of a router; raises OSError."""
    router.within(_flush)


def _flush() -> None:
    family = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
    head = struct.pack("=IHHII", 16 + len(family), _DELETE, _REQUEST_ACK, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
        kernel.send(head + family)
        (error,) = struct.unpack_from("=i", kernel.recv(_ANSWER_BYTES), 16)
    if error:
        raise OSError(-error, "the kernel does not flush its connection tracking")
