"""What lookups, reads and crawls show of the DHT."""

from dataclasses import dataclass
from typing import Annotated

from node.answers.marks import AsHex, Milliseconds, ModId, Seconds, ShownPeerId
from protocol.addresses import Address


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
class LineageBodyView:
    """The body of a lineage record, without the key that it wraps."""

    mod_id: ModId
    version: int
    previous: Annotated[bytes, AsHex()]
    """The SHA-256 of the record before it, empty for the first one."""
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordView:
    """A verified record. `issued` and `expires` are seconds since 1970."""

    publisher: ShownPeerId
    sequence: int
    issued: int
    expires: int
    bytes: int
    """Length of the signed record."""
    body: PeerBodyView | ProviderBodyView | AvailabilityBodyView | LineageBodyView


@dataclass(frozen=True, slots=True)
class RecordsView:
    """The verified records under a key."""

    key: Annotated[bytes, AsHex()]
    kind: str
    """`peer`, `provider`, `availability` or `lineage`."""
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
