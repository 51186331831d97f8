"""Peers that the node knows, and the links to them."""

from dataclasses import dataclass
from typing import Annotated

from node.answers.marks import Decimals, Milliseconds, Seconds, ShownPeerId
from node.links.pool.changes import LinkEnd, LinkEvent
from protocol.addresses import Address
from protocol.causes.tried import KnownSide
from protocol.ice.candidates import CandidateKind
from protocol.ice.paths.report import PathReason
from protocol.ice.paths.selector import PathClass
from protocol.punching.pairs import Way


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
class StageTimes:
    """How long each stage of opening a link took."""

    call_ms: Milliseconds | None
    """To look the peer up, and to carry our offer and its answer; null for incoming links."""
    ice_ms: Milliseconds
    dtls_ms: Milliseconds
    sctp_ms: Milliseconds
    session_ms: Milliseconds
    """The handshake that proves both peers' identities."""


@dataclass(frozen=True, slots=True)
class PathView:
    """One path of a link: the one that carries it, or one that is kept beside it."""

    kind: PathClass
    """`direct`, `relayed`, or `stream`: relayed, with a TLS stream from here to the relay."""
    selected: bool
    """Whether it carries the link."""
    reason: PathReason
    """Why it does, or why it does not: `only` (no other path works), `class` (direct paths come
    before relayed ones, and these before streams), `round_trip` (the shortest comes first),
    `in_use` (that in use stays until another is faster by 5 ms for 5 s), `peer` (the peer chooses),
    `unanswered` (its last check had no answer), `left` (it lost data or fell silent)."""
    local_address: Address
    local_type: CandidateKind
    """How the address was learned (RFC 8445, 5.1.1)."""
    remote_address: Address
    remote_type: CandidateKind
    """As `local_type`."""
    relay: ShownPeerId | None
    """The relay, whose address stands at both ends then; null for a direct path."""
    rtt_ms: Milliseconds | None
    """The least round trip of its last 16 checks; null until one was measured."""
    loss: Annotated[float, Decimals(3)]
    """The part of the last 16 datagrams of checks that had no answer, 0 to 1."""
    bytes_per_second: int | None
    """What it carries of the link's data, both ways; null while it carries none."""


@dataclass(frozen=True, slots=True)
class LinkView:
    """An open link."""

    peer_id: ShownPeerId
    direction: str
    """`outgoing` or `incoming`."""
    path: PathClass
    """That in use, as `kind` of its row in `paths`."""
    local_address: Address
    local_type: CandidateKind
    """How the address was learned (RFC 8445, 5.1.1)."""
    remote_address: Address
    remote_type: CandidateKind
    """As `local_type`."""
    relay: ShownPeerId | None
    """The relay, whose address stands at both ends then; null for a direct path."""
    paths: tuple[PathView, ...]
    """All paths that are kept, the one in use first; empty if the link has just ended."""
    rtt_ms: Milliseconds | None
    """The smoothed round trip; null until one was measured."""
    stages: StageTimes
    own: KnownSide
    """What this node knew of its network when it described itself."""
    peer: KnownSide
    """What the peer said of its network."""
    expected: Way | None
    """How two such networks are expected to link; null while too little is known of one."""
    signaled_via: tuple[ShownPeerId, ...]
    """The registrar that forwarded our offer; empty where none was needed, or for their offer."""
    age_s: Seconds
    bytes_sent: int
    bytes_received: int
    kept: tuple[str, ...]
    """Why this node keeps the link up, the oldest reason first; empty where it does not."""


@dataclass(frozen=True, slots=True)
class LinkChangeView:
    """What became of the link with a peer."""

    number: int
    """Counted from 1 since the node started."""
    ago_s: Seconds
    peer_id: ShownPeerId
    event: LinkEvent
    """`up`, `down`, or `path`: it goes by another path, or another link took its place."""
    path: PathClass
    """`direct`, `relayed` or `stream`: from now on, or until it went down."""
    local_address: Address
    remote_address: Address
    relay: ShownPeerId | None
    end: LinkEnd | None
    """Why it is down; null where it is not."""
    reason: str
    """The same in words."""


@dataclass(frozen=True, slots=True)
class LinkChangeList:
    """What changed of links since a change that the client knows, the oldest first."""

    changes: tuple[LinkChangeView, ...]
    missed: int
    """How many changes before these are not kept any more."""
    last: int
    """The number of the newest change, after which to ask next."""


@dataclass(frozen=True, slots=True)
class LinkList:
    """The open links, the oldest first."""

    links: tuple[LinkView, ...]
