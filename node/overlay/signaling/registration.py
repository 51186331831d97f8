"""Staying callable: an unreachable peer's registrations at the contacts nearest to its id."""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from node.environment import Environment
from node.overlay.server import OverlayServer
from protocol import limits
from protocol.codec import shape
from protocol.errors import ModswarmError, RemoteError
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method, Response
from protocol.overlay.registration_proof import make_registration
from protocol.records import Record

_log = logging.getLogger(__name__)


class Registrations:
    """Registers, keeps each path alive, and replaces a registrar that stopped answering.

    Whichever registrars die, `limits.REREGISTERED_S` later there are as many living ones again:
    each is touched every `limits.KEEPALIVE_S`, which leaves time to miss its answers and to find
    another. They are touched in turn, not together, so that if all die at once the first silence
    comes soon; it starts a lookup, which asks all of them and so passes over every dead one.

    `registrars` holds the turn in which each is touched. `peer_record` makes a fresh signed peer
    record whenever one is needed.
    """

    def __init__(
        self, server: OverlayServer, environment: Environment, peer_record: Callable[[], Record]
    ) -> None:
        self._server = server
        self._environment = environment
        self._peer_record = peer_record
        self._lost = asyncio.Event()
        self.registrars: dict[Contact, int] = {}
        self.registered = asyncio.Event()

    async def run(self) -> None:
        """Register, and stay registered until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_registered(), name="keep registered")
            group.create_task(self._keep_alive(group), name="keep paths alive")

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
        record = self._peer_record()
        keeping = await self._register_first(closest, record)
        beyond = await self._server.sybil_regions.beyond(own_id, closest, certain=True)
        keeping += await self._register_all(beyond, record)
        for contact in [known for known in self.registrars if known not in keeping]:
            del self.registrars[contact]
        if self.registrars:
            self.registered.set()

    async def _register_first(self, nearest: Sequence[Contact], record: Record) -> list[Contact]:
        """Register with the first REGISTRARS of these that take us."""
        keeping: list[Contact] = []
        while nearest and len(keeping) < limits.REGISTRARS:
            missing = limits.REGISTRARS - len(keeping)
            keeping += await self._register_all(nearest[:missing], record)
            nearest = nearest[missing:]
        return keeping

    async def _register_all(self, contacts: Sequence[Contact], record: Record) -> list[Contact]:
        """Register with all of these; returns those that took us."""
        took = await asyncio.gather(*(self._register(contact, record) for contact in contacts))
        return [contact for contact, is_taken in zip(contacts, took, strict=True) if is_taken]

    async def _register(self, contact: Contact, record: Record) -> bool:
        try:
            shown = make_registration(
                self._server.identity, contact.peer_id, self._environment.wall()
            )
            response = await self._ask(contact, Method.REGISTER, [record.raw, shown])
        except ModswarmError as error:
            _log.debug("not registered at %r: %s", contact, error)
            is_taken = False
        else:
            is_taken = response.code == Code.OK
        if is_taken:
            self.registrars.setdefault(contact, self._quietest_turn())
        else:
            self.registrars.pop(contact, None)
        return is_taken

    def _quietest_turn(self) -> int:
        taken = Counter(self.registrars.values())
        return min(range(limits.REGISTRARS), key=lambda turn: taken[turn])

    async def _keep_alive(self, group: asyncio.TaskGroup) -> None:
        for turn in itertools.cycle(range(limits.REGISTRARS)):
            await asyncio.sleep(limits.KEEPALIVE_S / limits.REGISTRARS)
            for contact in [one for one, its_turn in self.registrars.items() if its_turn == turn]:
                group.create_task(self._touch(contact), name="keep a path alive")

    async def _touch(self, contact: Contact) -> None:
        """Keep one path open; a registrar that is silent, or has forgotten us, is replaced."""
        try:
            response = await self._ask(contact, Method.KEEPALIVE, [])
            (known,) = shape(response.result, bool)
        except (ModswarmError, RemoteError) as error:
            _log.info("lost the registrar %r: %s", contact, error)
            known = False
        if not known and self.registrars.pop(contact, None) is not None:
            self._lost.set()

    async def _ask(self, contact: Contact, method: Method, arguments: list[Any]) -> Response:
        """Raises TimedOut once a registrar was silent for limits.REGISTRAR_SILENT_S at most."""
        wire = self._server.wire
        wait_s = min(2 * wire.timeout_s(contact), limits.TIMEOUT_MAX_S)
        return await wire.ask(
            contact, method, arguments, timeout_s=wait_s, tries=limits.REGISTRAR_TRIES
        )
