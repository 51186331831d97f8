"""Virtual relayed addresses: names of allocations that no packet is ever sent to.

A relay by pairs binds no relayed address: it forwards from one of its allocations to another. Both
peers know the relay and one another, so each computes the relayed address of the other, and asks
nothing.
"""

import hashlib
import ipaddress
from functools import lru_cache
from typing import Final

from protocol.addresses import Address
from protocol.identity import PeerId

_PREFIX: Final = bytes((1, 0, 0, 0, 0, 0, 0, 0))
"""100::/64, the discard-only prefix (RFC 6666): a router that gets such a packet drops it."""

_PREFIX_TEXT: Final = "100::"
_HOST_BYTES: Final = 8
_PURPOSE: Final = b"modswarm/relayed"

VIRTUAL_PORT: Final = 3478
"""The port of every virtual relayed address: that of STUN and TURN."""

CHANNELS: Final = range(0x4000, 0x5000)
"""Channel numbers that a client chooses (RFC 8656, 12)."""


@lru_cache(maxsize=1024)
def relayed_address(relay_id: PeerId, peer_id: PeerId) -> Address:
    """The relayed address of a peer's allocation at a relay. Both ids have 20 bytes."""
    digest = hashlib.sha256(_PURPOSE + relay_id + peer_id).digest()
    host = ipaddress.IPv6Address(_PREFIX + digest[:_HOST_BYTES])
    return Address(str(host), VIRTUAL_PORT)


def is_virtual(address: Address) -> bool:
    """Whether an address in canonical spelling is of the prefix of virtual relayed addresses."""
    if not address.host.startswith(_PREFIX_TEXT[:-1]):
        return False
    return ipaddress.ip_address(address.host).packed.startswith(_PREFIX)


def preferred_channel(one: Address, other: Address) -> int:
    """The channel number that both clients of a pair try first; the order does not matter.

    Where both have it a relay forwards ChannelData without any change.
    """
    low, high = sorted((one, other))
    digest = hashlib.sha256(_PURPOSE + f"{low} {high}".encode()).digest()
    return CHANNELS[int.from_bytes(digest[:2]) % len(CHANNELS)]
