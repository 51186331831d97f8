"""What this node knows of its own network; the wire tells what it sees, tests what they find."""

import asyncio
from collections.abc import Callable, Collection, Mapping

from node.environment import Environment
from node.interfaces import WILDCARDS
from protocol.addresses import Address, is_global, is_shareable
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import READ_ONLY
from protocol.overlay.networks import NetworksOf, smallest_network
from protocol.reachability.network_view import (
    FamilyView,
    FilteringKind,
    MappingKind,
    NatKind,
    NetworkView,
    UpnpMapping,
    Verdict,
)
from protocol.reachability.observed import ObservedAddresses
from protocol.reachability.own_line import OwnLine
from protocol.reachability.verdict import RoundOutcome, VerdictMachine

_FILTERING = {
    Verdict.UNKNOWN: FilteringKind.UNKNOWN,
    Verdict.PUBLIC: FilteringKind.ENDPOINT_INDEPENDENT,
    Verdict.NOT_PUBLIC: FilteringKind.DEPENDENT,
}

_NEWS_PAUSE_S = 0.25
_V6 = 6


class OwnNetwork:
    """Gives a `view` of it at any time, and wakes who waits `until` something about it is so.

    `unreachable`: this node plays one that is not public.
    """

    def __init__(
        self, environment: Environment, *, unreachable: bool, networks_of: NetworksOf
    ) -> None:
        self._host_addresses = environment.host_addresses
        self._unreachable = unreachable
        self._networks_of = networks_of
        self._bound: dict[int, Address] = {}
        self._own_hosts: frozenset[str] = frozenset()
        self._observed: dict[int, ObservedAddresses] = {}
        self._verdicts: dict[int, VerdictMachine] = {}
        self._upnp: Address | None = None
        self._flags = dict.fromkeys((4, 6), READ_ONLY if unreachable else 0)
        self.line = OwnLine()
        self._is_slow = False
        self._by_stream = False
        self._news = asyncio.Event()
        self._telling: asyncio.TimerHandle | None = None
        self._view: NetworkView | None = None
        self._mapped: dict[int, Address] = {}
        self.moves = 0
        """How often this machine has come to other addresses, or slept, or has got another mapping
        from its NAT, by the word of as many contacts as count."""

    def listen(self, bound: Mapping[int, Address]) -> None:
        """From now on sockets are bound to these addresses, by family."""
        self._bound = dict(bound)
        self._observed = {
            family: ObservedAddresses(address.port) for family, address in bound.items()
        }
        self._verdicts = {family: VerdictMachine() for family in bound}
        self._find_own_hosts()
        self._find_flags()

    # What the wire tells --------------------------------------------------------------------

    def took(self, contact: Contact, rtt_s: float) -> None:
        """The round trip of a request to a contact, in time or late."""
        self.line.measured(contact.peer_id, rtt_s, distant=self._is_global(contact))
        if self.line.is_slow is not self._is_slow:
            self._is_slow = not self._is_slow
            self._tell()

    def saw(self, contact: Contact, observed: Address, sent_at: float, mapped_at: float) -> None:
        """A contact saw us at `observed` when it got what was sent at `sent_at`.

        A NAT may have made that mapping at `mapped_at`, for a datagram that was lost behind it.
        """
        family = self._observed.get(observed.family)
        if family is None or contact.family != observed.family:
            return
        network = smallest_network(self._networks_of, contact)
        if network and not is_global(observed.host):
            return  # nothing on the internet sees a private or loopback address
        if family.note(network, observed, sent_at, mapped_at):
            self._view = None
            self._find_flags()
            self._note_mapping(observed.family, family.agreed)
            if self._telling is None:
                # A joining node hears news with each response.
                loop = asyncio.get_running_loop()
                self._telling = loop.call_later(_NEWS_PAUSE_S, self._tell)

    def _note_mapping(self, family: int, agreed: Address | None) -> None:
        if agreed is None:
            return
        before, self._mapped[family] = self._mapped.get(family, agreed), agreed
        self.moves += before != agreed

    def seen_here_since(self, contact: Contact) -> float:
        """When this contact began to see us where it would see us now, as far as is known.

        Tokens from before prove an address that is ours no more.
        """
        family = self._observed.get(contact.family)
        return family.changed_at if family is not None else 0.0

    def flags(self, contact: Contact) -> int:
        """The flags of our requests to a contact.

        What is only presumed of our NAT is of no interest inside of it, to private addresses.
        """
        flags = self._flags[contact.family]
        if (
            flags
            and self._verdict(contact.family) is Verdict.UNKNOWN
            and not self._is_global(contact)
        ):
            return 0
        return flags

    @property
    def is_doubted(self) -> bool:
        """Whether a contact no longer sees what was agreed on, and no others were asked since."""
        return any(observed.is_doubted for observed in self._observed.values())

    def choose(self, family: int, contacts: Collection[Contact], now: float) -> None:
        """These contacts are asked now: what they see decides, whatever others say.

        Private contacts decide nothing.
        """
        networks = {smallest_network(self._networks_of, contact) for contact in contacts} - {b""}
        if networks and family in self._observed:
            self._observed[family].choose(networks, now)

    # What tests find ------------------------------------------------------------------------

    @property
    def families(self) -> list[int]:
        """The families to test: none where this node plays one that is not public."""
        return [] if self._is_closed else list(self._verdicts)

    def next_round_s(self, family: int) -> float:
        """In how many seconds to test a family again."""
        return self._verdicts[family].next_round_s

    def tested(self, family: int, outcome: RoundOutcome) -> None:
        """A round of dial-backs ended."""
        self._verdicts[family].note(outcome)
        self._view = None
        self._find_flags()
        self._tell()

    def forwards(self, address: Address | None) -> bool:
        """The router forwards this outside address to us, or none any more; whether it changed."""
        if address == self._upnp:
            return False
        self._upnp = address
        self.tested(4, RoundOutcome.MOVED)
        return True

    def moved(self) -> None:
        """This machine has other addresses, or slept: what was seen may be so no longer."""
        self.moves += 1
        self.line.forget()
        self._mapped.clear()
        self._find_own_hosts()
        for family, observed in self._observed.items():
            observed.forget()
            self.tested(family, RoundOutcome.MOVED)

    def goes_by_stream(self, by_stream: bool) -> None:
        """Whether contacts see this node at a gateway, by which no first datagram reaches it."""
        self._by_stream = by_stream

    def _find_own_hosts(self) -> None:
        bound = (address.host for address in self._bound.values())
        self._own_hosts = frozenset((*self._host_addresses(), *bound))

    def _find_flags(self) -> None:
        for family, view in self.view().families.items():
            is_closed = view.is_closed or self._is_presumed_closed(family, view)
            self._flags[family] = READ_ONLY if is_closed else 0

    def _is_presumed_closed(self, family: int, view: FamilyView) -> bool:
        """Whether a NAT must be on the way to the internet, though nothing has been seen yet."""
        if view.verdict is not Verdict.UNKNOWN or self._observed[family].is_seen:
            return False
        if family == 4 and self._upnp is not None:
            return False
        return self._has_only_private(family)

    def _has_only_private(self, family: int) -> bool:
        """Whether other machines reach this one by addresses of private networks alone."""
        found = self._hosts_bound(family)
        return bool(found) and not any(map(is_global, found))

    def _hosts_bound(self, family: int) -> list[str]:
        """The addresses of this machine by which others might reach the node's port."""
        bound = self._bound[family].host
        hosts = self._own_hosts if bound in WILDCARDS else (bound,)
        return [one for one in filter(is_shareable, hosts) if (":" in one) == (family == 6)]

    def _is_global(self, contact: Contact) -> bool:
        return bool(smallest_network(self._networks_of, contact))

    # What follows ---------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on this object holds."""
        while not condition():
            await self._news.wait()

    async def until_public(self) -> None:
        """Wait until others are known to come in unasked, or seem to.

        In a young overlay there is no contact that could try: a global IPv4 address of this machine
        itself says enough, as servers have one.
        """
        await self.until(lambda: self.view().verdict is Verdict.PUBLIC or self._seems_public)

    @property
    def _seems_public(self) -> bool:
        is_known = 4 not in self._bound or self._verdict(4) is not Verdict.UNKNOWN
        return not is_known and any(map(is_global, self._hosts_bound(4)))

    def close(self) -> None:
        """Tell no more news."""
        if self._telling is not None:
            self._telling.cancel()

    def _tell(self) -> None:
        self.close()
        self._telling = self._view = None
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _verdict(self, family: int) -> Verdict:
        return Verdict.NOT_PUBLIC if self._is_closed else self._verdicts[family].verdict

    @property
    def _is_closed(self) -> bool:
        return self._unreachable or self._by_stream

    @property
    def is_contact(self) -> bool:
        """Whether others may keep this node in their tables, as far as it knows."""
        return self.view().is_contact

    @property
    def needs_registrars(self) -> bool:
        """Whether calls would not reach this node unasked, or might not.

        Nodes on faster lines take one on a slow line for dead, and keep it in no table.
        """
        return self._is_slow or self.view().needs_registrars

    @property
    def needs_router(self) -> bool:
        """Whether a NAT stands before IPv4, so that forwarding a port may help.

        Private addresses tell that before any contact does: the first node of an overlay can be
        found only if its router forwards a port. A NAT64 forwards nothing: it is no home router,
        and this machine has no address of IPv4.
        """
        if 4 not in self._observed or self._needs_nat64():
            return False
        return self._observed[4].is_mapped(self._own_hosts) or self._has_only_private(4)

    @property
    def needs_open_mapping(self) -> bool:
        """Whether others reach this node by a mapping that must be kept open by traffic."""
        if 4 not in self._verdicts or self._upnp is not None:
            return False
        return self.needs_router and self._verdict(4) is Verdict.PUBLIC

    def reflexive(self) -> list[Address]:
        """The addresses that NATs gave this node, the best first, those of the router among them.

        Of families that are closed there are none: others cannot send to them unasked.
        """
        view = self.view()
        found = [self.forwarded] if self.forwarded is not None else []
        for family in view.families.values():
            if not family.is_closed:
                found += [one.address for one in family.reflexive if one.address not in found]
        return found

    def hosts(self) -> frozenset[str]:
        """The IP literals of this machine and of the NATs before it, as far as they are known."""
        view = self.view()
        seen = {one.address.host for family in view.families.values() for one in family.reflexive}
        router = () if view.upnp is None else (view.upnp.address.host,)
        return self._own_hosts.union(seen, router)

    @property
    def forwarded(self) -> Address | None:
        """The outside address by which the router lets others in, as far as is known.

        Without contacts on the internet the router's word is all that there is, and a node's first
        friend joins by it; once they see this node, they must see it there.
        """
        view = self.view()
        if view.upnp is None:
            return None
        v4 = view.of(4)
        may_be_so = v4.is_forwarded or not v4.is_on_internet
        is_named = view.upnp.proved or (v4.verdict is Verdict.UNKNOWN and may_be_so)
        return view.upnp.address if is_named else None

    def view(self) -> NetworkView:
        """All that is known now."""
        if self._view is None:
            self._view = self._make_view()
        return self._view

    def _make_view(self) -> NetworkView:
        families = {family: self._family_view(family) for family in self._observed}
        v4 = families.get(4)
        upnp = None
        if self._upnp is not None and v4 is not None:
            seen = (one.address for one in v4.reflexive)
            upnp = UpnpMapping(self._upnp, v4.verdict is Verdict.PUBLIC and self._upnp in seen)
        return NetworkView(families, upnp, self._needs_nat64())

    def _family_view(self, family: int) -> FamilyView:
        observed, verdict = self._observed[family], self._verdict(family)
        mapping = observed.mapping(self._own_hosts)
        reflexive = observed.reflexive(self._own_hosts)
        is_sequential = mapping is MappingKind.SEQUENTIAL
        nat = NatKind(
            mapping,
            _FILTERING[verdict],
            observed.port_preserved,
            observed.port_step if is_sequential else 0,
        )
        return FamilyView(
            verdict,
            nat,
            observed.is_mapped(self._own_hosts),
            reflexive,
            observed.last_sample(),
            self._upnp in [one.address for one in reflexive],
            observed.is_on_internet,
            self._verdicts[family].was_tested,
            # The IPv6 firewalls of home routers may filter by address alone (RFC 6092, REC-11).
            self._verdicts[family].may_filter_ports or family == _V6,
        )

    def _needs_nat64(self) -> bool:
        """Whether this machine has IPv6 addresses for the internet, and none of IPv4."""
        hosts = [host for host in self._own_hosts if is_shareable(host)]
        return bool(hosts) and all(":" in host for host in hosts)
