"""The port that the home router forwards to this node: asked for by UPnP, renewed, removed.

A router says what it cannot do by UPnP's error codes. It forgets everything when it restarts, and
some move a mapping that is renewed to another port: so what stands there is looked at every time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

from node.upnp.process import CONFLICT, INVALID_ARGS, ONLY_PERMANENT_LEASES
from node.upnp.router import Router
from protocol import limits
from protocol.addresses import Address, canonical, unicast
from protocol.causes.network_kind import UpnpAnswer
from protocol.errors import BadAddress, NotUnicast, RouterRefused
from protocol.randomness import Random

_log = logging.getLogger(__name__)

LEASE_S = 3600
_PERMANENT = 0
_OTHER_LEASE = frozenset((INVALID_ARGS, ONLY_PERMANENT_LEASES))
_OTHER_PORTS = 3
_UNPRIVILEGED = 1024

CHECKED_S = 60.0
"""How often the mapping is looked at: a router that has restarted forwards again this soon."""

_REMOVAL_S = 1.0


class PortForwarding:
    """Keeps one UDP port forwarded while it runs. `forwards` gets the outside address, or None.

    `is_global` tells outside addresses of the internet from those behind a second NAT.
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
        self._outer_port: int | None = None
        self._renew_at = 0.0
        self._leases: tuple[int, ...] = (LEASE_S, _PERMANENT)
        self.answer = UpnpAnswer.NOT_ASKED
        self.refusal = ""
        """What the router gave as its reason when it last refused."""

    async def run(self, inner_port: int) -> None:
        """Have `inner_port` forwarded, and keep it so until cancelled."""
        while True:
            self._forwards(await self._outside(inner_port))
            await asyncio.sleep(CHECKED_S)

    async def remove(self) -> None:
        """Let the router forward nothing to this node any more."""
        router, port = self._router, self._outer_port
        self._router = self._outer_port = None
        if router is None:
            return
        try:
            if port is not None:
                async with asyncio.timeout(_REMOVAL_S):
                    await router.delete_port_mapping(port)
        except (RouterRefused, TimeoutError) as error:
            _log.info("the router may still forward port %d: %s", port, error)
        finally:
            await router.close()

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
            forwarded = Address(outside.host, await self._keep(self._router, inner_port))
        except (RouterRefused, BadAddress, NotUnicast, TimeoutError) as error:
            _log.info("no port is forwarded: %s", error)
            silent = isinstance(error, TimeoutError)
            self.answer = UpnpAnswer.NO_ANSWER if silent else UpnpAnswer.REFUSED
            self.refusal = str(error)
            await self._leave_router()  # another one may answer next time
            return None
        self.answer = UpnpAnswer.FORWARDS
        return forwarded

    async def _leave_router(self) -> None:
        router, self._router = self._router, None
        if router is not None:
            await router.close()

    async def _keep(self, router: Router, inner_port: int) -> int:
        """The outside port that is forwarded; raises RouterRefused, TimeoutError."""
        held, now = self._outer_port, asyncio.get_running_loop().time()
        is_fresh = held is not None and now < self._renew_at
        if held is not None and is_fresh and await router.inner_port(held) == inner_port:
            return held
        self._outer_port = await self._map(router, inner_port)
        if await router.inner_port(self._outer_port) != inner_port:
            # It moved the mapping when it renewed it: a new one is what was asked for.
            await router.delete_port_mapping(self._outer_port)
            self._outer_port = await self._map(router, inner_port)
        self._renew_at = now + LEASE_S / 2
        return self._outer_port

    async def _map(self, router: Router, inner_port: int) -> int:
        """Have a port forwarded; the outside one. Raises RouterRefused, TimeoutError."""
        refusal = RouterRefused(CONFLICT, "every port that was tried is taken")
        for outer_port in self._outer_ports(inner_port):
            for lease_s in self._leases:
                try:
                    await router.add_port_mapping(outer_port, inner_port, lease_s)
                except RouterRefused as error:
                    refusal = error
                    if error.code not in _OTHER_LEASE:
                        break
                else:
                    self._leases = (lease_s, *(one for one in self._leases if one != lease_s))
                    return outer_port
            if refusal.code != CONFLICT:
                break
        raise refusal

    def _outer_ports(self, inner_port: int) -> Iterator[int]:
        """The port held already, else our own, and others in case that it is taken."""
        yield self._outer_port or inner_port
        for _ in range(_OTHER_PORTS):
            drawn = self._rng.random() * (limits.PORT_MAX + 1 - _UNPRIVILEGED)
            yield _UNPRIVILEGED + int(drawn)


def _outside_address(text: str, port: int) -> Address:
    """What a router says is its address; raises BadAddress, NotUnicast for what cannot be one."""
    address = unicast(canonical(text, port))
    if address.family != 4:
        raise BadAddress(f"not an IPv4 address: {address.host}")
    return address
