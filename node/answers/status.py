"""The node itself: its status, its identity, its end."""

from dataclasses import dataclass, field
from typing import Annotated

from node.answers.marks import AsBase32, Milliseconds, Seconds, ShownPeerId
from node.answers.network import ClockReport, StreamStatus
from protocol.addresses import Address


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """What this node does as a relay, for peers that cannot reach one another."""

    on: bool
    allocations: int
    """Peers, or clients, that may be linked through this node now."""
    bytes_today: int
    """Bytes forwarded since the day began, or the node was started."""
    bytes_a_day: int
    """How many it forwards in a day at most."""
    rate: int
    """Bytes a second that it forwards at most."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """How the node is doing. Totals count from its start."""

    peer_id: ShownPeerId
    addresses: tuple[Address, ...]
    """Where others can send to, as far as this machine knows."""
    bootstrap_addresses: tuple[str, ...]
    """What others may name as `--bootstrap`: `host:port/peer-id`, loopback only on this machine."""
    uptime_s: Seconds
    reachable: bool | None
    """Whether unsolicited DHT traffic reaches the node; null while that is not known."""
    joined: bool
    join_ms: Milliseconds | None
    """From start to join; null until then."""
    known_nodes: int
    """Nodes to join through: bootstraps, and contacts of the last run; a first node has none."""
    contacts: int
    """Contacts in the routing tables."""
    registrars: tuple[ShownPeerId, ...]
    """The contacts that keep a NAT mapping to this node open and forward calls to it."""
    registered_peers: int
    """Peers that have registered at this node."""
    forwarded_calls: int
    """Calls that this node has forwarded as a registrar."""
    records: int
    """Records of others that this node stores."""
    records_refused: dict[str, int]
    """How many contacts did not keep records of this node when it last published them, by why."""
    relay: RelayStatus
    links: int
    datagrams_received: int
    datagrams_sent: int
    bytes_received: int
    """Of all UDP traffic of the node: DHT, links, and what it relays."""
    bytes_sent: int
    """The same."""
    refused: dict[str, int]
    """How often peers broke which rule, by the error's name."""
    clock: ClockReport
    """Whether this computer's clock is off."""
    round_trip_ms: Milliseconds | None = None
    """What the fastest quarter of all contacts takes to answer; null until one has."""
    slow_line: bool = False
    """Whether that is so long that this node's own line is slow: all that it does takes longer."""
    streams: StreamStatus = field(default_factory=StreamStatus)


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """The node's peer id and key, and the lines to give to friends."""

    peer_id: ShownPeerId
    public_key: Annotated[bytes, AsBase32()]
    """The Ed25519 key, 32 bytes."""
    bootstrap_addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stopping:
    """The node is asked to end."""

    stopping: bool
