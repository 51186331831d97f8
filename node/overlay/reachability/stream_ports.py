"""The outside TCP ports that the router forwards, by which nodes without UDP come in.

They dial a node's own port, which is its outside port of UDP, and 443 of the same host. Neither is
worth the mapping of another machine or program, nor the node's own one of UDP.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from node.overlay.reachability.port_mapping import LEASE_S, PortMapping
from node.upnp.router import MappedProtocol, Router
from protocol.errors import RouterRefused

_log = logging.getLogger(__name__)

_LATE = "the router does not answer in time"


class StreamPorts:
    """`refusals` tells why outside ports are not forwarded, by port; each is asked for now and
    then again, and told in the log when it changes.
    """

    def __init__(self) -> None:
        self._mappings: dict[int, PortMapping] = {}
        self._again_at: dict[int, float] = {}
        self.refusals: dict[int, str] = {}

    @property
    def forwarded(self) -> tuple[int, ...]:
        """The outside ports that are forwarded."""
        held = (port for port, one in self._mappings.items() if one.outer_port is not None)
        return tuple(port for port in held if port not in self.refusals)

    async def keep(self, router: Router, outer_ports: Iterable[int], inner_port: int) -> None:
        """Have these forwarded to a port of this machine, and no others any more.

        Raises TimeoutError where the router does not answer in time.
        """
        wanted = dict.fromkeys(outer_ports)
        for outer_port in [one for one in self._mappings if one not in wanted]:
            with contextlib.suppress(RouterRefused):
                await self._mappings[outer_port].remove(router)
            self._forget(outer_port)
        for outer_port in wanted:
            await self._keep(router, outer_port, inner_port)

    async def _keep(self, router: Router, outer_port: int, inner_port: int) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._again_at.get(outer_port, now):
            return
        mapping = self._mappings.setdefault(outer_port, PortMapping(MappedProtocol.TCP))
        try:
            await mapping.keep(router, (outer_port,), inner_port)
        except (RouterRefused, TimeoutError) as error:
            self._again_at[outer_port] = now + LEASE_S / 2
            is_late = isinstance(error, TimeoutError)
            self._refused(outer_port, _LATE if is_late else str(error))
            if is_late:
                raise
        else:
            self._again_at.pop(outer_port, None)
            self.refusals.pop(outer_port, None)

    def _refused(self, outer_port: int, reason: str) -> None:
        if self.refusals.get(outer_port) != reason:
            _log.warning("TCP port %d is not forwarded: %s", outer_port, reason)
        self.refusals[outer_port] = reason

    def _forget(self, outer_port: int) -> None:
        del self._mappings[outer_port]
        self._again_at.pop(outer_port, None)
        self.refusals.pop(outer_port, None)

    async def remove(self, router: Router) -> None:
        """Have none forwarded any more; raises TimeoutError, RouterRefused of the last refusal."""
        refusal: RouterRefused | None = None
        for outer_port, mapping in list(self._mappings.items()):
            self._forget(outer_port)
            try:
                await mapping.remove(router)
            except RouterRefused as error:
                refusal = error
        if refusal is not None:
            raise refusal
