"""Peers that the node knows, and the links to them."""

from dataclasses import dataclass
from typing import Annotated

from node.answers.marks import Decimals, Milliseconds, Seconds, ShownPeerId
from protocol.addresses import Address


@dataclass(frozen=True, slots=True)
class PeerView:
    """A peer that this node knows."""

    peer_id: ShownPeerId
    kind: str
    """`linked`, `contact`, `registered` here, or `provider` of the mod in question."""
    address: Address | None
    last_seen_s: Annotated[float, Decimals(1)] | None = None
    """Seconds since the contact was last seen."""
    rtt_ms: Milliseconds | None = None
    has: bool | None = None
    """Whether the peer serves the mod in question; null if not asked or unknown."""


@dataclass(frozen=True, slots=True)
class PeerList:
    """The peers that this node knows."""

    peers: tuple[PeerView, ...]


@dataclass(frozen=True, slots=True)
class LinkView:
    """An open link."""

    peer_id: ShownPeerId
    direction: str
    """`outgoing` or `incoming`."""
    path: str
    """`direct` or `relayed`."""
    remote_address: Address
    age_s: Seconds
    bytes_sent: int
    bytes_received: int


@dataclass(frozen=True, slots=True)
class LinkList:
    """The open links, the oldest first."""

    links: tuple[LinkView, ...]
