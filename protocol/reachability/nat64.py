"""IPv4 addresses in IPv6 form, by which a machine with IPv6 alone reaches them (RFC 6052, 2.1).

Only the well-known prefix is known here. A network with a prefix of its own tells it by DNS alone
(RFC 7050); host names go through the system's resolver, where its DNS64 does the same.
"""

import ipaddress

from protocol.addresses import Address

_WELL_KNOWN = ipaddress.IPv6Network("64:ff9b::/96")


def synthesised(address: Address) -> Address:
    """The IPv6 address by which a NAT64 reaches this IPv4 one."""
    number = int(_WELL_KNOWN.network_address) | int(ipaddress.IPv4Address(address.host))
    return Address(str(ipaddress.IPv6Address(number)), address.port)


def embedded(address: Address) -> Address | None:
    """The IPv4 address in a synthesised one; None for any other."""
    if address.family != 6:
        return None
    literal = ipaddress.IPv6Address(address.host)
    if literal not in _WELL_KNOWN:
        return None
    return Address(str(ipaddress.IPv4Address(int(literal) & 0xFFFFFFFF)), address.port)
