"""The ports that the home router forwards to this node: asked for by UPnP, renewed, removed.

A router says what it cannot do by UPnP's error codes. It forgets everything when it restarts, and
some move a mapping that is renewed to another port: so what stands there is looked at every time.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator

from node.overlay.reachability.port_mapping import PortMapping
from node.overlay.reachability.stream_ports import StreamPorts
from node.upnp.router import MappedProtocol, Router
from protocol import limits
from protocol.addresses import Address, canonical, unicast
from protocol.causes.network_kind import UpnpAnswer
from protocol.errors import BadAddress, NotUnicast, RouterRefused
from protocol.randomness import Random

_log = logging.getLogger(__name__)

_OTHER_PORTS = 3
_UNPRIVILEGED = 1024

CHECKED_S = 60.0
"""How often mappings are looked at: a router that has restarted forwards again this soon."""

_REMOVAL_S = 1.0


class PortForwarding:
    """Keeps one UDP port forwarded while it runs. `forwards` gets the outside address, or None.

    `is_global` tells outside addresses of the internet from those behind a second NAT. TCP is
    forwarded as well once `forward_streams` is called.
    """

    def __init__(
        self,
        find_router: Callable[[], Awaitable[Router | None]],
        rng: Random,
        *,
        is_global: Callable[[Address], bool],
        forwards: Callable[[Address | None], None],
    ) -> None:
        self._find_router = find_router
        self._rng = rng
        self._is_global = is_global
        self._forwards = forwards
        self._router: Router | None = None
        self._udp = PortMapping(MappedProtocol.UDP)
        self.streams = StreamPorts()
        self._listens: Callable[[int], bool] = _nowhere
        self.answer = UpnpAnswer.NOT_ASKED
        self.refusal = ""
        """What the router gave as its reason when it last refused."""

    def forward_streams(self, listens: Callable[[int], bool]) -> None:
        """Have TCP forwarded too, to a port at which this node `listens` by it."""
        self._listens = listens

    async def run(self, inner_port: int) -> None:
        """Have `inner_port` forwarded, and keep it so until cancelled."""
        while True:
            outside = await self._outside(inner_port)
            self._forwards(outside)
            if outside is not None and self._router is not None:
                await self._keep_streams(self._router, outside.port, inner_port)
            await asyncio.sleep(CHECKED_S)

    async def remove(self) -> None:
        """Let the router forward nothing to this node any more."""
        router, self._router = self._router, None
        if router is None:
            return
        try:
            async with asyncio.timeout(_REMOVAL_S):
                for kept in (self._udp, self.streams):
                    try:
                        await kept.remove(router)
                    except RouterRefused as error:
                        _log.info("the router may still forward a port to this node: %s", error)
        except TimeoutError:
            _log.info("the router may still forward a port to this node: it does not answer")
        finally:
            await router.close()

    async def _keep_streams(self, router: Router, outer_port: int, inner_port: int) -> None:
        ports = (outer_port, limits.STREAM_PORT) if self._listens(inner_port) else ()
        try:
            await self.streams.keep(router, ports, inner_port)
        except TimeoutError:
            # It is asked no more, and found again, as what it forwards is to be removed at the end.
            await self._leave_router()
            with contextlib.suppress(RouterRefused):
                self._router = await self._find_router()

    async def _outside(self, inner_port: int) -> Address | None:
        """The outside address that is forwarded now; None if there is none."""
        try:
            self._router = self._router or await self._find_router()
            if self._router is None:
                self.answer = UpnpAnswer.NO_ANSWER
                return None
            outside = _outside_address(await self._router.external_address(), inner_port)
            if not self._is_global(outside):
                await self.remove()
                self.answer = UpnpAnswer.PRIVATE_OUTSIDE
                return None
            ports = self._outer_ports(inner_port)
            port = await self._udp.keep(self._router, ports, inner_port)
        except (RouterRefused, BadAddress, NotUnicast, TimeoutError) as error:
            if str(error) != self.refusal:
                _log.info("no port is forwarded: %s", error)
            silent = isinstance(error, TimeoutError)
            self.answer = UpnpAnswer.NO_ANSWER if silent else UpnpAnswer.REFUSED
            self.refusal = str(error)
            await self._leave_router()  # another one may answer next time
            return None
        self.answer = UpnpAnswer.FORWARDS
        return Address(outside.host, port)

    async def _leave_router(self) -> None:
        router, self._router = self._router, None
        if router is not None:
            await router.close()

    def _outer_ports(self, inner_port: int) -> Iterator[int]:
        """The port held already, else our own, and others in case that it is taken."""
        yield self._udp.outer_port or inner_port
        for _ in range(_OTHER_PORTS):
            drawn = self._rng.random() * (limits.PORT_MAX + 1 - _UNPRIVILEGED)
            yield _UNPRIVILEGED + int(drawn)


def _nowhere(_port: int) -> bool:
    return False


def _outside_address(text: str, port: int) -> Address:
    """What a router says is its address; raises BadAddress, NotUnicast for what cannot be one."""
    address = unicast(canonical(text, port))
    if address.family != 4:
        raise BadAddress(f"not an IPv4 address: {address.host}")
    return address
