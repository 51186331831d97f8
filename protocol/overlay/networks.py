"""The networks that an address is in, so that no network has much of a table or of a lookup.

Many addresses of one network cost an attacker as little as one. Limits hold for global addresses;
private and loopback ones have none.
"""

import ipaddress
from collections.abc import Callable
from functools import lru_cache

from protocol import limits
from protocol.addresses import is_global
from protocol.overlay.contacts import Contact

_PORT_BYTES = 2
_PREFIX_BYTES = {4: (3,), 6: (8, 6, 4)}
"""The /24 of IPv4; the /64, the /48 and the /32 of IPv6. The smallest network comes first."""

Networks = tuple[bytes, ...]
NetworksOf = Callable[[Contact], Networks]


def public_networks(contact: Contact) -> Networks:
    """The prefixes of a global address, the smallest network first; none for a private one.

    IPv4 and IPv6 prefixes differ in length, so they never collide.
    """
    return networks_at(contact.packed[limits.KEY_BYTES : -_PORT_BYTES])


@lru_cache(maxsize=limits.CONTACTS_SHARED)
def networks_at(packed: bytes) -> Networks:
    """The same for a packed IP address of 4 or 16 bytes."""
    literal = ipaddress.ip_address(packed)
    if not is_global(str(literal)):
        return ()
    return tuple(packed[:size] for size in _PREFIX_BYTES[literal.version])


def smallest_network(networks_of: NetworksOf, contact: Contact) -> bytes:
    """The smallest network of a contact, which a lookup counts once; empty if there is no limit."""
    networks = networks_of(contact)
    return networks[0] if networks else b""


def are_disjoint(networks_of: NetworksOf, one: Contact, other: Contact) -> bool:
    """Whether both contacts have global addresses, and share no network."""
    networks = networks_of(one)
    return (
        bool(networks) and bool(networks_of(other)) and set(networks).isdisjoint(networks_of(other))
    )
