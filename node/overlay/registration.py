"""Staying callable: an unreachable peer's registrations at the contacts nearest to its id."""

import asyncio
import logging
from collections.abc import Callable

from node.environment import Environment
from node.overlay.server import OverlayServer
from protocol import limits
from protocol.codec import shape
from protocol.errors import ModswarmError, RemoteError
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method
from protocol.overlay.registrations import make_registration
from protocol.records import Record

_log = logging.getLogger(__name__)


class Registrations:
    """Registers, keeps each path alive, and replaces a registrar that stopped answering.

    `peer_record` makes a fresh signed peer record whenever one is needed.
    """

    def __init__(
        self, server: OverlayServer, environment: Environment, peer_record: Callable[[], Record]
    ) -> None:
        self._server = server
        self._environment = environment
        self._peer_record = peer_record
        self._lost = asyncio.Event()
        self.registrars: dict[Contact, float] = {}
        self.registered = asyncio.Event()

    async def run(self) -> None:
        """Register, and stay registered until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_registered(), name="keep registered")
            group.create_task(self._keep_alive(), name="keep paths alive")

    async def _keep_registered(self) -> None:
        while True:
            self._lost.clear()
            await self._register_nearest()
            full = len(self.registrars) >= min(limits.REGISTRARS, len(self._server.tables))
            pause_s = limits.REGISTRARS_RENEWED_S if full else limits.KEEPALIVE_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._lost.wait()
            except TimeoutError:
                continue

    async def _register_nearest(self) -> None:
        """Register with the nearest contacts, anew also with those that know us already.

        If those are a crowd that somebody put there, everyone in the region around keeps a path.
        """
        own_id = self._server.identity.peer_id
        closest = (await self._server.lookup(own_id)).closest()
        beyond = await self._server.regions.beyond(own_id, closest, certain=True)
        nearest = closest[: limits.REGISTRARS] + beyond
        record = self._peer_record()
        await asyncio.gather(*(self._register(contact, record) for contact in nearest))
        for contact in [known for known in self.registrars if known not in nearest]:
            del self.registrars[contact]
        if self.registrars:
            self.registered.set()

    async def _register(self, contact: Contact, record: Record) -> None:
        try:
            shown = make_registration(
                self._server.identity, contact.peer_id, self._environment.wall()
            )
            response = await self._server.wire.ask(
                contact, Method.REGISTER, [record.raw, shown], tries=3
            )
        except ModswarmError as error:
            _log.debug("not registered at %r: %s", contact, error)
            self.registrars.pop(contact, None)
            return
        if response.code == Code.OK:
            self.registrars[contact] = asyncio.get_running_loop().time()
        else:
            self.registrars.pop(contact, None)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(limits.KEEPALIVE_S)
            await asyncio.gather(*(self._touch(contact) for contact in list(self.registrars)))

    async def _touch(self, contact: Contact) -> None:
        """Keep one path open; a registrar that is silent, or has forgotten us, is replaced."""
        try:
            response = await self._server.wire.ask(contact, Method.KEEPALIVE, [], tries=3)
            (known,) = shape(response.result, bool)
        except (ModswarmError, RemoteError) as error:
            _log.info("lost the registrar %r: %s", contact, error)
            known = False
        if not known and self.registrars.pop(contact, None) is not None:
            self._lost.set()
