"""What this node can say about its own network, from what its rooms have found out."""

from collections.abc import Callable

from node.answers.network import ClockReport, FamilyReport, NetworkReport, SeenAddress, StreamStatus
from node.environment import Environment
from node.interfaces import WILDCARDS
from node.links.relaying.relays import LinkRelays
from node.overlay.membership import Membership
from protocol.addresses import is_shareable
from protocol.causes.network_kind import NetworkSigns, network_kind
from protocol.overlay.networks import public_networks
from protocol.reachability.network_view import NetworkView

_FAMILIES = (4, 6)


class Doctor:
    """Asks nothing of other nodes: a report takes no time and costs no datagram."""

    def __init__(
        self,
        membership: Membership,
        environment: Environment,
        view: Callable[[], NetworkView],
        relays: LinkRelays,
        streams: Callable[[], StreamStatus],
    ) -> None:
        self._membership = membership
        self._environment = environment
        self._view = view
        self._relays = relays
        self._streams = streams

    def network(self) -> NetworkReport:
        """What is known now."""
        signs = self._signs()
        kind = network_kind(signs)
        membership = self._membership
        return NetworkReport(
            kind=kind,
            sentence=kind.sentence,
            advice=kind.advice,
            joined=membership.joined.is_set(),
            contacts=signs.contacts,
            distant_contacts=signs.distant,
            known_nodes=signs.asked,
            registrars=len(membership.registrations.registrars),
            families=tuple(self._family(family, signs.view) for family in _FAMILIES),
            upnp=signs.upnp,
            upnp_address=signs.view.upnp.address if signs.view.upnp else None,
            upnp_refusal=membership.reachability.upnp[1],
            upnp_tcp_ports=membership.reachability.stream_ports[0],
            upnp_tcp_refusals=membership.reachability.stream_ports[1],
            relays_known=self._relays.known,
            relays=len(membership.relay_client),
            hides_address=self._relays.hidden,
            clock=ClockReport.of(membership.own_clock.view()),
            round_trip_ms=membership.own_network.line.round_trip_ms,
            slow_line=membership.own_network.line.is_slow,
            streams=self._streams(),
        )

    def _signs(self) -> NetworkSigns:
        membership, view = self._membership, self._view()
        contacts = [entry.contact for entry in membership.server.tables.entries()]
        return NetworkSigns(
            view=view,
            upnp=membership.reachability.upnp[0],
            on_loopback=membership.is_on_loopback,
            has_address=any(map(is_shareable, self._environment.host_addresses())),
            asked=membership.joining.known_nodes,
            contacts=len(contacts),
            distant=sum(bool(public_networks(contact)) for contact in contacts),
            hidden=self._relays.hidden,
            unreachable=membership.settings.unreachable,
            by_stream=membership.streams.is_blocked,
        )

    def _family(self, family: int, view: NetworkView) -> FamilyReport:
        known = view.of(family)
        return FamilyReport(
            family=family,
            hosts=tuple(self._hosts(family)),
            listening=family in self._membership.endpoint.addresses,
            verdict=known.verdict,
            mapping=known.nat.mapping,
            filtering=known.nat.filtering,
            port_preserved=known.nat.port_preserved,
            port_step=known.nat.port_step,
            seen=tuple(SeenAddress(one.address, one.proved) for one in known.reflexive),
        )

    def _hosts(self, family: int) -> list[str]:
        """The addresses that the node listens on, else those of this machine that it could."""
        bound = self._membership.endpoint.addresses.get(family)
        if bound is not None and bound.host not in WILDCARDS:
            return [bound.host]
        hosts = filter(is_shareable, self._environment.host_addresses())
        return [host for host in hosts if (":" in host) == (family == 6)]
