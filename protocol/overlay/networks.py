"""Which networks an address is in, so that no single one gets much of a table or of an answer.

Many addresses of one network cost an attacker as little as one. Limits hold for global addresses;
private and loopback ones have none.
"""

import ipaddress
from collections.abc import Callable
from functools import lru_cache

from protocol import limits
from protocol.addresses import Address
from protocol.overlay.contacts import Contact

_PREFIX_BYTES = {4: (3,), 6: (8, 6, 4)}
"""The /24 of IPv4; the /64, the /48 and the /32 of IPv6. The smallest network comes first."""

Networks = tuple[bytes, ...]
NetworksOf = Callable[[Address], Networks]


@lru_cache(maxsize=limits.CONTACTS_SHARED)
def public_networks(address: Address) -> Networks:
    """The prefixes of a global address, the smallest network first; none for a private one.

    IPv4 and IPv6 prefixes differ in length, so they never collide.
    """
    literal = ipaddress.ip_address(address.host)
    if not literal.is_global:
        return ()
    return tuple(literal.packed[:size] for size in _PREFIX_BYTES[literal.version])


def smallest_network(networks_of: NetworksOf, contact: Contact) -> bytes:
    """The one network of a contact that an answer may hold once; empty if there is no limit."""
    networks = networks_of(contact.address)
    return networks[0] if networks else b""
