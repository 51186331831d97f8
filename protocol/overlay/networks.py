"""The networks that an address is in, so that no network has much of a table or of a lookup.

Many addresses of one network cost an attacker as little as one. Limits hold for global addresses;
private and loopback ones have none.
"""

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from protocol import limits
from protocol.addresses import is_global
from protocol.overlay.contacts import Contact

_PORT_BYTES = 2
_PREFIX_BYTES = {4: (3,), 6: (8, 6, 4)}
"""The /24 of IPv4; the /64, the /48 and the /32 of IPv6. The smallest network comes first."""

_COUNTED_BYTES: Final = (3, 6)
"""The /24 of IPv4 and the /48 of IPv6: those behind one are taken for one holder, or one voice."""

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


def counted_network(networks: Networks) -> bytes:
    """Of an address's networks its /24 or /48; empty for a private one, which has none."""
    return next((one for one in networks if len(one) in _COUNTED_BYTES), b"")


def voice_of(networks_of: NetworksOf, contact: Contact) -> bytes:
    """Whose voice a contact's word is: that of its /24 or /48, or of its host at a private address.

    The bytes of a packed address and those of a network differ in length, so they never collide.
    """
    host = contact.packed[limits.KEY_BYTES : -_PORT_BYTES]
    return counted_network(networks_of(contact)) or host


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
