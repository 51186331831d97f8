"""IP addresses that one machine may have, drawn by hypothesis."""

import ipaddress

from hypothesis import strategies as st

Literal = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_unicast(literal: Literal) -> bool:
    """Whether datagrams to this address reach one machine, whose address is spelled so."""
    if isinstance(literal, ipaddress.IPv6Address):
        return not (literal.is_multicast or literal.is_unspecified or literal.ipv4_mapped)
    return 0 < literal.packed[0] < 224


HOSTS = st.ip_addresses().filter(is_unicast)
