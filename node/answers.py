"""What a node answers about itself: one frozen value for each question of the command line or API.

Ids, addresses and links are the values of `protocol`, times are floats in the unit that the name
ends with. The control API's schemas are made from these classes and show their docstrings; its JSON
has the fields by their names, in their order.
"""

from dataclasses import dataclass
from typing import Annotated

from protocol.addresses import Address
from protocol.content.link import ModLink
from protocol.identity import PeerId


@dataclass(frozen=True, slots=True)
class Decimals:
    """JSON has the number rounded to so many digits behind the point."""

    digits: int


@dataclass(frozen=True, slots=True)
class AsBase32:
    """JSON has the bytes in base32."""


@dataclass(frozen=True, slots=True)
class AsHex:
    """JSON has the bytes in hex digits."""


@dataclass(frozen=True, slots=True)
class AsPeerId:
    """JSON has the bytes in the text form of peer ids."""


ShownPeerId = Annotated[PeerId, AsPeerId()]
ModId = Annotated[bytes, AsBase32()]
"""32 bytes: the SHA-256 of the mod's manifest."""
Seconds = Annotated[float, Decimals(3)]
Milliseconds = Annotated[float, Decimals(1)]


# The node ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """How the node is doing. Totals count from its start."""

    peer_id: ShownPeerId
    addresses: tuple[Address, ...]
    """Where others can send to, as far as this machine knows."""
    friend_addresses: tuple[str, ...]
    """What to give to friends as their `--bootstrap`: `host:port/peer-id`."""
    uptime_s: Seconds
    reachable: bool
    """Whether the node takes unsolicited DHT traffic."""
    joined: bool
    join_ms: Milliseconds | None
    """From start to join; null until then."""
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
    links: int
    datagrams_received: int
    datagrams_sent: int
    bytes_received: int
    """Of DHT traffic."""
    bytes_sent: int
    """Of DHT traffic."""
    refused: dict[str, int]
    """How often peers broke which rule, by the error's name."""


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """The node's peer id and key, and the lines to give to friends."""

    peer_id: ShownPeerId
    public_key: Annotated[bytes, AsBase32()]
    """The Ed25519 key, 32 bytes."""
    friend_addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stopping:
    """The node is asked to end."""

    stopping: bool


# Mods -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModView:
    """A mod in the vault."""

    mod_id: ModId
    name: str
    """Empty if the mod is only held for others."""
    files: int
    bytes: int
    """Of all files together."""
    link: ModLink | None
    """Null if this node does not have the key that opens the mod."""
    shared: bool
    """Whether the mod was made here, not fetched."""
    complete: bool


@dataclass(frozen=True, slots=True)
class Announcement:
    """How many of the contacts that were asked keep the provider record."""

    confirmed: int
    asked: int


@dataclass(frozen=True, slots=True)
class ShareResult:
    """What sharing made."""

    mod_id: ModId
    link: ModLink
    name: str
    files: int
    bytes: int
    """Of all files together."""
    new_bytes: int
    """Sealed bytes that the vault did not have."""
    published: Announcement


@dataclass(frozen=True, slots=True)
class GetResult:
    """What a download fetched and wrote, and how long each step took."""

    mod_id: ModId
    name: str
    path: str
    """The folder that was written."""
    files: int
    bytes: int
    """Of all files together."""
    bytes_fetched: int
    """Sealed bytes that came from others."""
    seconds: Seconds
    lookup_ms: Milliseconds
    """To read the provider records from the DHT."""
    connect_ms: Milliseconds
    """From the first call that succeeded to its open link."""
    transfer_MBps: Annotated[float, Decimals(2)] | None  # noqa: N815 (the unit)
    """Megabytes a second; null when nothing had to be fetched."""
    record_hops: int
    """Contacts asked one after another until the first provider record was found."""
    signaled_via: tuple[ShownPeerId, ...]
    """The registrars that forwarded the calls."""
    sources: tuple[str, ...]
    """The names of the sources of these bytes: a peer's is its id."""


@dataclass(frozen=True, slots=True)
class ModList:
    """The mods in the vault, in the order in which they came."""

    mods: tuple[ModView, ...]


@dataclass(frozen=True, slots=True)
class Removed:
    """The mod that is shared no more."""

    removed: ModId


# Peers and links --------------------------------------------------------------------------


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


# The DHT ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ContactView:
    """A contact that a lookup found."""

    peer_id: ShownPeerId
    address: Address
    rtt_ms: Milliseconds | None
    path: tuple[ShownPeerId, ...]
    """The contacts that led to it, the first known beforehand; empty if it was known itself."""


@dataclass(frozen=True, slots=True)
class LookupView:
    """The contacts nearest to a target."""

    target: Annotated[bytes, AsHex()]
    seconds: Seconds
    requests: int
    closest: tuple[ContactView, ...]


@dataclass(frozen=True, slots=True)
class PeerBodyView:
    """The body of a peer record."""

    addresses: tuple[Address, ...]
    capabilities: int
    versions: tuple[int, ...]
    """The lowest and the highest version that the peer speaks."""
    shard_bits: int
    """The peer's availability has 2 ** `shard_bits` shards."""


@dataclass(frozen=True, slots=True)
class ProviderBodyView:
    """The body of a provider record."""

    mod_id: ModId
    complete: bool


@dataclass(frozen=True, slots=True)
class AvailabilityBodyView:
    """The body of an availability record, without its filter."""

    shard_bits: int
    shard: int
    capacity: int


@dataclass(frozen=True, slots=True)
class RecordView:
    """A verified record. `issued` and `expires` are seconds since 1970."""

    publisher: ShownPeerId
    sequence: int
    issued: int
    expires: int
    bytes: int
    """Length of the signed record."""
    body: PeerBodyView | ProviderBodyView | AvailabilityBodyView


@dataclass(frozen=True, slots=True)
class RecordsView:
    """The verified records under a key."""

    key: Annotated[bytes, AsHex()]
    kind: str
    """`peer`, `provider` or `availability`."""
    seconds: Seconds
    requests: int
    hops: int
    """Contacts asked one after another until the first record was found."""
    holders: tuple[ShownPeerId, ...]
    """The contacts that store such records."""
    registrars: tuple[ShownPeerId, ...]
    """The contacts that showed a registration of the peer."""
    records: tuple[RecordView, ...]


@dataclass(frozen=True, slots=True)
class CrawlView:
    """What a crawl saw of the network."""

    seconds: Seconds
    named: int
    """Contacts that were named by others."""
    asked: int
    answered: int
    silent: int
    whole: bool
    """Whether no contact was left out for the crawl's bounds."""
    size_estimate: int | None
    """Nodes in the network, estimated from the density of ids; null if none answered."""
    versions: dict[int, int]
    """Contacts by the protocol version that they speak."""
    families: dict[int, int]
    """Contacts by address family, 4 or 6."""
    rtt_p50_ms: Milliseconds | None
    """The median round trip."""
