"""What keeps this node's knowledge of its own network up to date: all of it side by side."""

import asyncio
from collections.abc import Awaitable, Callable

from node.environment import Environment
from node.net.endpoint import Endpoint
from node.overlay.reachability.forwarding import PortForwarding
from node.overlay.reachability.own_network import OwnNetwork
from node.overlay.reachability.testing import ReachabilityTest
from node.overlay.server import OverlayServer
from protocol import limits
from protocol.addresses import Address
from protocol.causes.network_kind import UpnpAnswer
from protocol.overlay.contacts import Contact
from protocol.overlay.networks import NetworksOf, smallest_network

_PAUSE_SPREAD = 0.2


class ReachabilityUpkeep:
    """Tests reachability and keeps mappings open: `run` once joined; `forward` from the start."""

    def __init__(
        self,
        server: OverlayServer,
        endpoint: Endpoint,
        environment: Environment,
        own_network: OwnNetwork,
        *,
        settle_doubts: Callable[[], Awaitable[None]],
        networks_of: NetworksOf,
    ) -> None:
        self._server = server
        self._endpoint = endpoint
        self._rng = environment.rng
        self._own_network = own_network
        self._settle_doubts = settle_doubts
        self._networks_of = networks_of
        self._test = ReachabilityTest(
            server.wire, endpoint, server.tables, environment.rng, networks_of=networks_of
        )
        self._retest = {family: asyncio.Event() for family in (4, 6)}
        self._forwarding: PortForwarding | None = None
        if environment.find_router is not None:
            self._forwarding = PortForwarding(
                environment.find_router,
                environment.rng,
                is_global=self._is_global,
                forwards=self._forwards,
            )

    @property
    def upnp(self) -> tuple[UpnpAnswer, str]:
        """What the router said when it was asked to forward a port, and its reason to refuse."""
        if self._forwarding is None:
            return UpnpAnswer.OFF, ""
        return self._forwarding.answer, self._forwarding.refusal

    @property
    def stream_ports(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """The outside TCP ports that the router forwards, and why it does not forward others."""
        if self._forwarding is None:
            return (), ()
        streams = self._forwarding.streams
        return streams.forwarded, tuple(streams.refusals.values())

    def forward_streams(self, listens: Callable[[int], bool]) -> None:
        """Have TCP forwarded too, to a port at which this node `listens` by it.

        What takes streams is made after the overlay, so it tells of itself here.
        """
        if self._forwarding is not None:
            self._forwarding.forward_streams(listens)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for family in self._own_network.families:
                group.create_task(self._test_regularly(family), name=f"test IPv{family}")
            group.create_task(self._forget_hosts(), name="forget hosts")
            group.create_task(self._keep_mapping_open(), name="keep a mapping open")
            group.create_task(self._follow_doubts(), name="follow doubts about our address")

    async def forward(self) -> None:
        """Have the router forward the port, until cancelled; it needs no contact."""
        if self._forwarding is None or not self._own_network.families:
            return
        await self._own_network.until(lambda: self._own_network.needs_router)
        await self._forwarding.run(self._endpoint.addresses[4].port)

    async def close(self) -> None:
        """Let the router forward nothing any more."""
        if self._forwarding is not None:
            await self._forwarding.remove()

    def moved(self, slept: bool) -> None:
        """The machine has other addresses, or slept, while NATs forgot where it had sent to."""
        if slept:
            self._endpoint.sent_hosts.clear()
            self._endpoint.heard_hosts.clear()
        for retest in self._retest.values():
            retest.set()

    async def _test_regularly(self, family: int) -> None:
        retest = self._retest[family]
        while True:
            retest.clear()
            outcome = await self._test.run(family)
            self._own_network.tested(family, outcome)
            spread = 1 + _PAUSE_SPREAD * (self._rng.random() - 0.5)
            pause_s = spread * self._own_network.next_round_s(family)
            try:
                async with asyncio.timeout(pause_s):
                    await retest.wait()
            except TimeoutError:
                continue

    async def _forget_hosts(self) -> None:
        while True:
            await asyncio.sleep(limits.DIALBACK_SILENCE_S)
            self._endpoint.sent_hosts.begin_generation()
            self._endpoint.heard_hosts.begin_generation()

    async def _keep_mapping_open(self) -> None:
        """Ping a contact now and then, where a public node's NAT would forget it otherwise."""
        while True:
            await self._own_network.until(lambda: self._own_network.needs_open_mapping)
            for witness in self._server.bootstrappable_neighbors()[:1]:
                self._server.protocol.maintenance.verify(witness)
            await asyncio.sleep(limits.KEEPALIVE_S)

    async def _follow_doubts(self) -> None:
        """Ask contacts of our choice where they see us, once one says that it is elsewhere now."""
        pause_s = limits.DOUBT_S
        while True:
            await self._own_network.until(lambda: self._own_network.is_doubted)
            await self._settle_doubts()
            await asyncio.sleep(pause_s)
            pause_s = (
                min(2 * pause_s, limits.DOUBT_MAX_S)
                if self._own_network.is_doubted
                else limits.DOUBT_S
            )

    def _forwards(self, address: Address | None) -> None:
        if self._own_network.forwards(address):
            self._retest[4].set()

    def _is_global(self, address: Address) -> bool:
        contact = Contact.at(self._server.identity.public_key, address)
        return bool(smallest_network(self._networks_of, contact))
