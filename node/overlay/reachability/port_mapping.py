"""One outside port of the router, forwarded to one of this machine, by a lease that is renewed."""

import asyncio
from collections.abc import Iterable

from node.upnp.process import CONFLICT, INVALID_ARGS, ONLY_PERMANENT_LEASES, OTHER_REASON
from node.upnp.router import MappedProtocol, MappedTo, Router
from protocol.errors import RouterRefused

LEASE_S = 3600
_PERMANENT = 0
_OTHER_LEASE = frozenset((INVALID_ARGS, ONLY_PERMANENT_LEASES))


class PortMapping:
    """A mapping that this node makes; one of another machine or program is left as it is.

    Its methods raise RouterRefused, TimeoutError.
    """

    def __init__(self, protocol: MappedProtocol) -> None:
        self._protocol = protocol
        self._leases: tuple[int, ...] = (LEASE_S, _PERMANENT)
        self._renew_at = 0.0
        self._inner_port = 0
        self.outer_port: int | None = None
        """The outside port that was forwarded last."""

    async def keep(self, router: Router, outer_ports: Iterable[int], inner_port: int) -> int:
        """The outside port that is forwarded: the one held already, else the first one free."""
        held, now = self.outer_port, asyncio.get_running_loop().time()
        ours = MappedTo(True, inner_port)
        is_fresh = held is not None and now < self._renew_at
        if held is not None and is_fresh and await router.mapped(self._protocol, held) == ours:
            return held
        self.outer_port = await self._map(router, outer_ports, inner_port)
        self._inner_port = inner_port
        self._renew_at = now + LEASE_S / 2
        return self.outer_port

    async def remove(self, router: Router) -> None:
        """Let the router forward it no more, unless what stands there now is not this node's."""
        held, self.outer_port = self.outer_port, None
        ours = (None, MappedTo(True, self._inner_port))
        if held is not None and await router.mapped(self._protocol, held) in ours:
            await router.delete_port_mapping(self._protocol, held)

    async def _map(self, router: Router, outer_ports: Iterable[int], inner_port: int) -> int:
        refusal = RouterRefused(CONFLICT, "every port that was tried is taken")
        for outer_port in outer_ports:
            try:
                await self._take(router, outer_port, inner_port)
            except RouterRefused as error:
                refusal = error
                if error.code != CONFLICT:
                    break
            else:
                return outer_port
        raise refusal

    async def _take(self, router: Router, outer_port: int, inner_port: int) -> None:
        """Have one outside port forwarded, by a new mapping or by our own one renewed."""
        ours = (None, MappedTo(True, inner_port))
        if await router.mapped(self._protocol, outer_port) not in ours:
            raise self._conflict(outer_port)
        await self._add(router, outer_port, inner_port)
        found = await router.mapped(self._protocol, outer_port)
        if found == MappedTo(True, inner_port):
            return
        if found is not None and not found.is_here:
            raise self._conflict(outer_port)
        # It moved the mapping when it renewed it: a new one is what was asked for.
        await router.delete_port_mapping(self._protocol, outer_port)
        await self._add(router, outer_port, inner_port)
        found = await router.mapped(self._protocol, outer_port)
        if found is not None and found != MappedTo(True, inner_port):
            if found.is_here:
                await router.delete_port_mapping(self._protocol, outer_port)
            told = f"it forwards {self._protocol} port {outer_port} otherwise than it was asked"
            raise RouterRefused(OTHER_REASON, told)

    async def _add(self, router: Router, outer_port: int, inner_port: int) -> None:
        for lease_s in self._leases:
            try:
                await router.add_port_mapping(self._protocol, outer_port, inner_port, lease_s)
            except RouterRefused as error:
                if error.code not in _OTHER_LEASE or lease_s == self._leases[-1]:
                    raise
            else:
                self._leases = (lease_s, *(one for one in self._leases if one != lease_s))
                return

    def _conflict(self, outer_port: int) -> RouterRefused:
        taken = f"{self._protocol} port {outer_port} is another machine's or program's there"
        return RouterRefused(CONFLICT, taken)
