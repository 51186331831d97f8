"""What a node has found out about its network."""

from dataclasses import dataclass
from typing import Annotated

from node.answers.marks import Decimals, Milliseconds
from protocol.addresses import Address
from protocol.causes.clock import clock_sentence
from protocol.causes.network_kind import NetworkKind, UpnpAnswer
from protocol.reachability.clock_signs import ClockVerdict, ClockView
from protocol.reachability.network_view import FilteringKind, MappingKind, Verdict


@dataclass(frozen=True, slots=True)
class SeenAddress:
    """An address of this node as others see it."""

    address: Address
    proved: bool
    """Whether contacts in enough networks saw it, and not a single one."""


@dataclass(frozen=True, slots=True)
class FamilyReport:
    """What is known of one address family."""

    family: int
    """4 or 6."""
    hosts: tuple[str, ...]
    """The addresses that the node listens on; if it does not, those of this machine."""
    listening: bool
    verdict: Verdict
    """Whether datagrams come in unasked: `public`, `not_public` or `unknown`."""
    mapping: MappingKind
    """How the router chooses outside ports, by RFC 4787."""
    filtering: FilteringKind
    """Whom the router lets in, by RFC 4787."""
    port_preserved: bool
    port_step: int
    """Between the ports of two mappings made one after the other; 0 unless `sequential`."""
    seen: tuple[SeenAddress, ...]


@dataclass(frozen=True, slots=True)
class ClockReport:
    """Whether this computer's clock is off, by the word of contacts."""

    verdict: ClockVerdict
    said: int
    """Networks that say so."""
    heard: int
    """Networks that have spoken on it."""
    ahead_s: Annotated[float, Decimals(1)] | None
    """By how many seconds it is ahead; negative: behind; null where that is not known or nothing
    matters."""
    corrected: bool
    """Whether the node dates and judges by the time of its contacts, as enough of them agree."""
    sentence: str
    """The same for a person, with what to do; empty where there is no sign that it is off."""

    @classmethod
    def of(cls, view: ClockView) -> "ClockReport":
        """The report of what is known."""
        return cls(
            view.verdict, view.said, view.heard, view.ahead_s, view.corrected, clock_sentence(view)
        )


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """What goes by TLS streams, for networks that pass no UDP."""

    listening: tuple[Address, ...] = ()
    """Where this node takes them, by TCP."""
    served: int = 0
    """Nodes whose datagrams it forwards now."""
    gateways: tuple[Address, ...] = ()
    """The nodes by which this one goes, as UDP is silent; none while UDP works."""
    failures: tuple[str, ...] = ()
    """Why the last streams that it tried do not stand."""


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """What this node's network is, as far as the node has found out."""

    kind: NetworkKind
    sentence: str
    """The same, for a person."""
    advice: str
    """What would help; empty where nothing needs to."""
    joined: bool
    contacts: int
    """Contacts that answer."""
    distant_contacts: int
    """Those of them that are on the internet."""
    known_nodes: int
    """Bootstraps, and contacts of the last run."""
    registrars: int
    """The contacts that forward calls to this node."""
    families: tuple[FamilyReport, ...]
    upnp: UpnpAnswer
    upnp_address: Address | None
    """The outside address that the router forwards."""
    upnp_refusal: str
    """What the router gave as its reason when it last refused."""
    upnp_tcp_ports: tuple[int, ...]
    """The outside TCP ports that it forwards, by which nodes without UDP come in."""
    upnp_tcp_refusals: tuple[str, ...]
    """Why it does not forward others that the node asked for."""
    relays_known: int
    """Contacts that may be asked to relay a link, when it needs that."""
    relays: int
    """At how many relays this node has an allocation now."""
    hides_address: bool
    """Whether links go through relays alone."""
    clock: ClockReport
    """Whether this computer's clock is off."""
    round_trip_ms: Milliseconds | None = None
    """What the fastest quarter of all contacts takes to answer; null until one has."""
    slow_line: bool = False
    """Whether that is so long that this node's own line is slow."""
    streams: StreamStatus = StreamStatus()
