"""IPv4 addresses in IPv6 form, by which a machine with IPv6 alone reaches them (RFC 6052, 2.1).

A network with a NAT64 tells its prefix by the IPv6 addresses that it gives to a name which has IPv4
ones alone (RFC 7050). Prefixes of 96 bits are known here, as the well-known 64:ff9b::/96 is one.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from protocol.addresses import Address

IPV4_ONLY = "ipv4only.arpa"
"""The name that has IPv4 addresses alone."""

_ITS_ADDRESSES = frozenset(
    ipaddress.IPv4Address(ip).packed for ip in ("192.0.0.170", "192.0.0.171")
)
_PREFIX_BYTES = 12


@dataclass(frozen=True, slots=True)
class Nat64Prefix:
    """The first 96 bits of the addresses that a NAT64 translates."""

    packed: bytes

    def synthesised(self, host: str) -> str:
        """The IPv6 literal by which the NAT64 reaches this IPv4 one."""
        return _synthesised(self.packed, host)

    def embedded(self, address: Address) -> Address | None:
        """The IPv4 address in a synthesised one; None for any other."""
        host = _embedded(self.packed, address.host) if address.family == 6 else None
        return None if host is None else Address(host, address.port)


def prefix_told_by(hosts: Iterable[str]) -> Nat64Prefix | None:
    """The prefix in the IPv6 literals that the network's DNS gives for IPV4_ONLY; None: no NAT64.

    Where none of them ends in one of its IPv4 addresses the prefix has another length.
    """
    for host in hosts:
        packed = ipaddress.IPv6Address(host).packed
        if packed[_PREFIX_BYTES:] in _ITS_ADDRESSES:
            return Nat64Prefix(packed[:_PREFIX_BYTES])
    return None


@lru_cache(maxsize=4096)
def _synthesised(prefix: bytes, host: str) -> str:
    return str(ipaddress.IPv6Address(prefix + ipaddress.IPv4Address(host).packed))


@lru_cache(maxsize=4096)
def _embedded(prefix: bytes, host: str) -> str | None:
    packed = ipaddress.IPv6Address(host).packed
    if not packed.startswith(prefix):
        return None
    return str(ipaddress.IPv4Address(packed[_PREFIX_BYTES:]))
