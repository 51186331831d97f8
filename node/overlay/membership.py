"""A node's membership in the overlay: all parts of the overlay wired together, without content.

The runtime adds links and content to it; a simulation of the overlay alone runs just this.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from node.counters import Counters
from node.environment import Environment
from node.interfaces import WILDCARDS
from node.net.endpoint import Endpoint
from node.net.names import NameLookups
from node.net.nat64_use import use_nat64
from node.overlay.lineages.lineages import Lineages
from node.overlay.reachability.moves import Moves
from node.overlay.reachability.own_clock import OwnClock
from node.overlay.reachability.own_network import OwnNetwork
from node.overlay.reachability.sightings import Sightings
from node.overlay.reachability.upkeep import ReachabilityUpkeep
from node.overlay.records.presence import Presence
from node.overlay.records.republish import Republisher
from node.overlay.server import OverlayServer
from node.overlay.settings import OverlaySettings
from node.overlay.signaling.callee import Callee
from node.overlay.signaling.caller import Caller
from node.overlay.signaling.registration import Registrations
from node.overlay.table.joining import Joining
from node.relay.client import Legs, RelayClient
from node.relay.dispatch import RelayDispatch
from node.relay.service import RelayService
from node.streams.client import OwnStream, OwnStreams
from node.streams.dialing import StreamDialer
from node.streams.hinted import HintedGateways
from node.streams.keeper import Gateways, StreamKeeper
from node.tasks import TaskOwner
from protocol import limits
from protocol.addresses import Address, is_loopback, is_shareable
from protocol.causes.cause import Cause
from protocol.errors import Unreachable
from protocol.identity import Identity, PeerId
from protocol.overlay.bootstrap import Bootstrap
from protocol.overlay.contacts import Contact
from protocol.reachability.network_view import Verdict
from protocol.signaling import CallResult, Describe

_NOT_JOINED = "this node has not joined the overlay, as no other node answers it"
_JOINING = "this node has not joined the overlay yet: other nodes answer, and it goes on"
_JOINS_SLOWLY = "this node has not joined the overlay yet: its line is slow"


class Membership:
    """Open the endpoint, then `start`; `stop` ends every task. `say` takes sentences for people."""

    def __init__(
        self,
        identity: Identity,
        environment: Environment,
        *,
        settings: OverlaySettings,
        counters: Counters,
        bootstraps: Sequence[Bootstrap],
        saved: Sequence[Contact],
        say: Callable[[str], None],
    ) -> None:
        environment.check_randomness()
        self.environment = environment
        self.settings = settings
        self._say = say
        self.tasks = TaskOwner("overlay")
        self.own_clock = OwnClock(settings.networks_of, environment.wall)
        dated = replace(environment, wall=self.own_clock.now)
        self.endpoint = Endpoint(counters, environment, unreachable=settings.unreachable)
        self.own_network = OwnNetwork(
            environment, unreachable=settings.unreachable, networks_of=settings.networks_of
        )
        legs: Legs = {}
        self.relay = RelayService(
            identity.peer_id,
            replace(environment, wall=self.own_clock.latest),
            self.endpoint,
            settings.relay,
            counters,
            is_our_relay=legs.__contains__,
            is_reachable=lambda: self.own_network.view().verdict is not Verdict.NOT_PUBLIC,
        )
        self._relay_dispatch = RelayDispatch(self.relay, legs, counters)
        self.callee = Callee(identity, dated, puzzle_bits=settings.puzzle_bits)
        self.server = OverlayServer(
            identity,
            dated,
            self.endpoint,
            settings=settings,
            tasks=self.tasks,
            counters=counters,
            answer_offer=self.callee.answer,
            own_network=self.own_network,
            own_clock=self.own_clock,
            grant_relaying=self.relay.grant,
        )
        self.hinted = HintedGateways(self._offered_by_link)
        self._names = NameLookups(self.tasks)
        self.own_streams, self.streams = self._make_streams(identity, counters)
        self.relay_client = self._make_relay_client(identity.peer_id, counters, legs)
        self.caller = Caller(self.server, dated, self.callee)
        self.republisher = Republisher(self.server, dated)
        self.lineages = Lineages(self.server, dated)
        self.presence = Presence(
            self.republisher,
            is_contact=lambda: self.own_network.is_contact,
            own_addresses=self.own_addresses,
        )
        self.registrations = Registrations(self.server, dated, self.presence.peer_record)
        self.sightings = self._make_sightings()
        self.reachability = self._make_upkeep()
        known = bootstraps, saved, self._names
        self.joining = Joining(self.server, *known, ways=self.streams.nodes, say=say)
        self._moves = Moves(environment, self._moved)
        self._upkeep: list[asyncio.Task[None]] = []
        self._is_stopping = False

    def _make_relay_client(self, own_id: PeerId, counters: Counters, legs: Legs) -> RelayClient:
        return RelayClient(
            *(own_id, self.environment, self.endpoint, self.tasks, counters, legs),
            ask=self.server.protocol.call_credentials,
            serves=self.relay.serves,
            reach=self._reach,
        )

    def _make_streams(
        self, identity: Identity, counters: Counters
    ) -> tuple[OwnStreams, StreamKeeper]:
        """The streams of this node, and what opens them when UDP is silent."""
        bits = self.settings.puzzle_bits
        dialer = StreamDialer(identity, self.environment, self._names, bits)

        def ended(stream: OwnStream) -> None:
            keeper.ended(stream)
            self.relay_client.way_ended(stream.gateway)

        own = OwnStreams(dialer, self.endpoint, counters, ended)
        keeper = StreamKeeper(
            own,
            self.endpoint,
            self.environment.rng,
            is_silent=self._is_silent,
            gateways=self._gateways,
            hinted=lambda: self.joining.addresses_of(self.hinted.all()),
            changed=self._way_changed,
        )
        return own, keeper

    async def _gateways(self) -> Gateways:
        return await self.joining.gateways()

    def _offered_by_link(self) -> None:
        if self._is_silent():
            self.streams.look_again()
            self.joining.try_anew()

    def _is_silent(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self.server.wire.unanswered.is_silent(len(self.server.tables), now)

    def _way_changed(self) -> None:
        """Contacts see this node at a gateway, at another one, or at its own address again."""
        self.own_network.goes_by_stream(self.streams.is_blocked)
        if not self._is_stopping:
            self._moved(slept=False)
        self.joining.try_again()

    async def _reach(self, relay: Contact) -> None:
        """While UDP is silent a relay is reached by a stream. Raises StreamFailed, BadConfig."""
        if self.streams.is_blocked:
            await self.own_streams.open(relay.address, relay.peer_id)

    def _make_sightings(self) -> Sightings:
        return Sightings(
            self.server.wire,
            self.server.tables,
            self.own_network,
            self.environment.rng,
            networks_of=self.settings.networks_of,
        )

    def _make_upkeep(self) -> ReachabilityUpkeep:
        return ReachabilityUpkeep(
            self.server,
            self.endpoint,
            self.environment,
            self.own_network,
            settle_doubts=self.sightings.renew,
            networks_of=self.settings.networks_of,
        )

    @property
    def joined(self) -> asyncio.Event:
        """Set once this node has joined the overlay."""
        return self.joining.joined

    @property
    def unanswered_because(self) -> Cause:
        """Why a node without an answer has none: it knows no other node, or none answers."""
        is_known = self.joining.known_nodes or len(self.server.tables)
        return Cause.NO_CONTACTS if is_known else Cause.NO_NODE_KNOWN

    async def call(self, peer_id: PeerId, describe: Describe) -> CallResult:
        """Offer a link to a peer (`Caller.call`); raises Unreachable without a node to ask."""
        is_alone = self.unanswered_because is Cause.NO_NODE_KNOWN
        if is_alone and not self.server.is_only_contact():
            raise Unreachable(cause=Cause.NO_NODE_KNOWN)
        return await self.caller.call(peer_id, describe)

    async def join_outcome(self) -> bool:
        """Whether this node has joined, as far as its first try tells, JOIN_WAIT_S at most."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        async with asyncio.TaskGroup() as group:
            outcome = group.create_task(self.joining.outcome(), name="wait for the overlay")
            while not outcome.done():
                # How slow the line is shows only while this waits.
                limit_s = self.own_network.line.limit_s(limits.JOIN_WAIT_S, limits.JOIN_ROUND_TRIPS)
                left_s = began_at + limit_s - loop.time()
                if left_s <= 0:
                    outcome.cancel()
                    return False
                await asyncio.wait({outcome}, timeout=left_s)
            return outcome.result()

    async def check_joined(self) -> None:
        """Raise Unreachable unless this node has joined, as `join_outcome` tells."""
        if not await self.join_outcome():
            cause = self.unanswered_because
            if (line := self.own_network.line).is_slow:
                raise Unreachable(f"{_JOINS_SLOWLY}, {_takes(line.round_trip_s)}", cause=cause)
            if len(self.server.tables):
                raise Unreachable(_JOINING)
            raise Unreachable(_NOT_JOINED if cause is Cause.NO_CONTACTS else "", cause=cause)

    def start(self) -> None:
        """Take datagrams from the open endpoint; join and stay joined in the background."""
        self.listen()
        for work, name in (
            (self.joining.run(), "join"),
            (self.joining.be_joined_through(), "be joined through"),
            (self._when_joined(self.republisher.run), "republish records"),
            (self._when_joined(self.lineages.storing.run), "store lineages again"),
            (self._when_joined(self.lineages.publisher.run), "renew lineages"),
            (self._when_joined(self.reachability.run), "test reachability"),
            (self.reachability.forward(), "have a port forwarded"),
            (self._when_joined(self._follow_verdict), "stay registered"),
            (self._when_joined(self._tell_addresses), "publish addresses"),
            (self._when_joined(self._stay_registered), "follow the mapping"),
            (self._when_joined(self.server.clock_upkeep.run), "ask for the time"),
            (self._follow_clock(), "follow the clock"),
            (self._tell_of_slow_line(), "tell of a slow line"),
        ):
            self._upkeep.append(self.tasks.start(work, name=name))
        if self.settings.streams:
            self._upkeep.append(self.tasks.start(self.streams.run(), name="watch UDP"))
        self._moves.start()

    def listen(self) -> None:
        """Take datagrams from the open endpoint. Called once; raises AlreadyOwned."""
        self.server.listen()
        self.relay_client.listen()
        self._relay_dispatch.listen(self.endpoint.demux)

    async def leave(self) -> None:
        """Tell contacts and registrars that this node ends; at most LEAVE_S.

        What keeps up its membership ends first, or would bring it back.
        """
        registrars = list(self.registrations.registrars)
        self._moves.close()
        for task in self._upkeep:
            task.cancel()
        await asyncio.gather(*self._upkeep, return_exceptions=True)
        await self.server.leave(registrars)

    async def stop(self) -> None:
        """End the tasks, then the sockets; who is to know of it is told before, by `leave`."""
        self._is_stopping = True
        self._moves.close()
        self.server.stop()
        self.relay_client.close()
        await self.tasks.close()
        self.own_network.close()
        await self.reachability.close()
        await self.relay.close()
        self.own_streams.close()
        await self.endpoint.close()

    async def _when_joined(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await self.joined.wait()
        await work()

    async def _follow_verdict(self) -> None:
        """Be registered while calls need registrars."""
        while True:
            await self.own_network.until(lambda: self.own_network.needs_registrars)
            registered = self.tasks.start(self.registrations.run(), name="stay registered")
            try:
                await self.own_network.until(lambda: not self.own_network.needs_registrars)
            finally:
                registered.cancel()
                await asyncio.wait({registered})

    async def _tell_of_slow_line(self) -> None:
        """Once: a person who waits for this node should know why it takes long."""
        line = self.own_network.line
        await self.own_network.until(lambda: line.is_slow)
        self._say(
            f"This line is slow: {_takes(line.round_trip_s)}. "
            "Joining, links and downloads take longer here, and go on all the same."
        )

    async def _stay_registered(self) -> None:
        """Register anew where the NAT has got another mapping for this node."""
        while True:
            moves = self.own_network.moves
            await self.own_network.until(lambda: self.own_network.moves > moves)  # noqa: B023
            self.registrations.renew()

    async def _follow_clock(self) -> None:
        """Date records and registrations anew where the clock was corrected, or set."""
        loop, clock = asyncio.get_running_loop(), self.own_clock
        dated_by_s, changes = clock.now() - loop.time(), clock.changes
        while True:
            try:
                async with asyncio.timeout(limits.CLOCK_LOOK_S):
                    await clock.until_changes(changes)
            except TimeoutError:
                clock.view()
                continue
            changes = clock.changes
            self.server.clock_upkeep.renew()
            # What dates them: a person may set a clock that was not known to be off.
            dates_by_s = clock.now() - loop.time()
            if abs(dates_by_s - dated_by_s) > limits.CLOCK_AGREE_S:
                dated_by_s = dates_by_s
                self.republisher.renew()
                self.registrations.renew()
                self.lineages.publisher.renew()

    async def _tell_addresses(self) -> None:
        """Publish the peer record when what it says about reachability changes."""
        while True:
            told = self._told()
            await self.own_network.until(partial(self._tells_otherwise, told))
            self.presence.publish_peer()
            await asyncio.sleep(limits.PEER_RECORD_PAUSE_S)

    def _tells_otherwise(self, told: tuple[bool, list[Address]]) -> bool:
        return self._told() != told

    def _told(self) -> tuple[bool, list[Address]]:
        return self.own_network.is_contact, self.own_addresses()

    def _moved(self, slept: bool) -> None:
        """This machine slept, or has other addresses: what was known must be learned anew."""
        self.tasks.start(self._learn_anew(slept), name="learn of a new network")

    async def look_around(self) -> None:
        """See whether this machine has moved, and ask contacts where they see it."""
        self._moves.look()
        await self.sightings.renew()

    async def _learn_anew(self, slept: bool) -> None:
        # A NAT64 is looked for first: without it nothing is sent to contacts of IPv4.
        await use_nat64(self.endpoint, self.environment.host_addresses())
        self.own_network.moved()
        self.reachability.moved(slept)
        self.server.recheck_contacts()

    def own_addresses(self) -> list[Address]:
        """The addresses that other nodes can send to: those of NATs first, then this machine's."""
        found = self.own_network.reflexive()
        for bound in self.endpoint.addresses.values():
            if bound.host not in WILDCARDS:
                found.append(bound)
                continue
            hosts = [host for host in self.environment.host_addresses() if is_shareable(host)]
            candidates = [Address(host, bound.port) for host in hosts]
            found += [one for one in candidates if one.family == bound.family]
        return found

    @property
    def is_on_loopback(self) -> bool:
        """Whether every socket is bound to loopback, as in demos and tests."""
        return all(is_loopback(one.host) for one in self.endpoint.addresses.values())


def _takes(round_trip_s: float | None) -> str:
    return f"even the nearest nodes answer only after {round_trip_s or 0.0:.1f} s"
