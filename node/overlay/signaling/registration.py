"""The registrations of this node, where calls need them, among the contacts nearest to its id.

A few ids that were ground near this node's would be all the nearest. So only REGISTRARS_NEAREST
registrars are the nearest, which a call's lookup finds first; the others are drawn by chance from
the k nearest, all of which it asks. A registrar that lies to callers is not seen from here: hence
each renewal replaces the drawn one that was kept longest. Where the k nearest are suspiciously near
all of them are registrars, since most may be ground.
"""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from node.environment import Environment
from node.overlay.server import OverlayServer
from node.overlay.signaling.crossing import Crossings
from protocol import limits
from protocol.codec import shape
from protocol.errors import ModswarmError, RemoteError
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method, Response
from protocol.overlay.registration_proof import make_registration_proof
from protocol.randomness import sample
from protocol.records import Record

_log = logging.getLogger(__name__)


class Registrations:
    """Registers, keeps each NAT mapping open, and replaces a registrar that stopped answering.

    Within `limits.REREGISTERED_S` of the failure of any registrars, as many answer again: each gets
    a KEEPALIVE every `limits.KEEPALIVE_S`, which leaves time to miss its responses and to find
    another. The keepalives are sent in turn, not together, so that the first silence comes soon
    where all registrars fail at once. It starts a lookup, which finds out which others are dead.

    `registrars` holds the turn in which each gets its keepalive, those kept longest first.
    `peer_record` makes a fresh signed peer record whenever one is needed.
    """

    def __init__(
        self, server: OverlayServer, environment: Environment, peer_record: Callable[[], Record]
    ) -> None:
        self._server = server
        self._environment = environment
        self._peer_record = peer_record
        self._lost = asyncio.Event()
        self._crossings = Crossings(server)
        self.registrars: dict[Contact, int] = {}
        self.registered = asyncio.Event()
        server.leaving.watch(self._left)

    async def run(self) -> None:
        """Register, and stay registered until cancelled; then no registrar counts any more."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_registered(), name="keep registered")
                group.create_task(self._keep_alive(group), name="keep NAT mappings open")
        finally:
            self.registrars.clear()
            self.registered.clear()

    def renew(self) -> None:
        """Register again now: this machine slept, or has another address."""
        self._lost.set()

    def _left(self, contact: Contact) -> None:
        """A registrar says that it leaves: another takes its place at once."""
        if self.registrars.pop(contact, None) is not None:
            self._lost.set()

    async def _keep_registered(self) -> None:
        replacing = False
        connectivity = self._server.protocol.maintenance.connectivity
        while True:
            # Without a contact none can be asked; once this node has joined again it is late.
            await connectivity.present()
            self._lost.clear()
            await self._register_nearest(replacing)
            wanted = max(1, min(limits.REGISTRARS, len(self._server.tables)))
            full = len(self.registrars) >= wanted
            pause_s = limits.REGISTRARS_RENEWED_S if full else limits.KEEPALIVE_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._lost.wait()
                replacing = False
            except TimeoutError:
                replacing = full

    async def _register_nearest(self, replacing: bool) -> None:
        """Register among the nearest contacts, and renew the registrations that stand already.

        With `replacing` the drawn one that was kept longest gives way to another.
        """
        own_id = self._server.identity.peer_id
        closest = (await self._server.lookup(own_id)).closest()
        record = self._peer_record()
        accepting = await self._register_first(self._in_turn(closest, replacing), record)
        more = await self._where_suspected(closest, accepting)
        accepting += await self._register_all(more, record)
        crossing = await self._crossings.nearest(closest)
        beside = [contact for contact in crossing if contact not in accepting]
        accepting += await self._register_all(beside, record)
        for contact in [known for known in self.registrars if known not in accepting]:
            del self.registrars[contact]
        if self.registrars:
            self.registered.set()

    async def _where_suspected(
        self, closest: Sequence[Contact], accepting: Sequence[Contact]
    ) -> list[Contact]:
        """More contacts to register with, where some of the nearest may be sybils.

        All others of the nearest; and where they are probably sybils, the region around as well.
        """
        own_id, regions = self._server.identity.peer_id, self._server.sybil_regions
        if not await regions.suspects(own_id, closest):
            return []
        beyond = await regions.beyond(own_id, closest, certain=True)
        return [contact for contact in (*closest, *beyond) if contact not in accepting]

    def _in_turn(self, closest: Sequence[Contact], replacing: bool) -> list[Contact]:
        """The contacts with which to register, those first that are to be registrars."""
        nearest = closest[: limits.REGISTRARS_NEAREST]
        farther = closest[limits.REGISTRARS_NEAREST :]
        kept = [contact for contact in self.registrars if contact in farther]
        left = kept[:1] if replacing else []
        new = [contact for contact in farther if contact not in kept]
        return [*nearest, *kept[len(left) :], *sample(self._environment.rng, new, len(new)), *left]

    async def _register_first(self, in_turn: Sequence[Contact], record: Record) -> list[Contact]:
        """Register with the first REGISTRARS of these that accept it."""
        accepting: list[Contact] = []
        while in_turn and len(accepting) < limits.REGISTRARS:
            missing = limits.REGISTRARS - len(accepting)
            accepting += await self._register_all(in_turn[:missing], record)
            in_turn = in_turn[missing:]
        return accepting

    async def _register_all(self, contacts: Sequence[Contact], record: Record) -> list[Contact]:
        """Register with all of these; returns the contacts that accepted."""
        accepted = await asyncio.gather(*(self._register(contact, record) for contact in contacts))
        return [contact for contact, taken in zip(contacts, accepted, strict=True) if taken]

    async def _register(self, contact: Contact, record: Record) -> bool:
        try:
            proof = make_registration_proof(
                self._server.identity, contact.peer_id, self._environment.wall()
            )
            response = await self._ask(contact, Method.REGISTER, [record.raw, proof])
        except ModswarmError as error:
            _log.debug("not registered at %r: %s", contact, error)
            is_registered = False
        else:
            is_registered = response.code == Code.OK
            self._server.own_clock.answered(contact, response.code)
        if is_registered:
            self.registrars.setdefault(contact, self._quietest_turn())
        else:
            self.registrars.pop(contact, None)
        return is_registered

    def _quietest_turn(self) -> int:
        taken = Counter(self.registrars.values())
        return min(range(limits.REGISTRARS), key=lambda turn: taken[turn])

    async def _keep_alive(self, group: asyncio.TaskGroup) -> None:
        for turn in itertools.cycle(range(limits.REGISTRARS)):
            await asyncio.sleep(limits.KEEPALIVE_S / limits.REGISTRARS)
            for contact in [one for one, its_turn in self.registrars.items() if its_turn == turn]:
                group.create_task(self._touch(contact), name="keep a NAT mapping open")

    async def _touch(self, contact: Contact) -> None:
        """Send one KEEPALIVE; a registrar that is silent, or has forgotten us, is replaced."""
        try:
            response = await self._ask(contact, Method.KEEPALIVE, [])
            (known,) = shape(response.result, bool)
        except (ModswarmError, RemoteError) as error:
            _log.info("lost the registrar %r: %s", contact, error)
            known = False
        if not known and self.registrars.pop(contact, None) is not None:
            self._lost.set()

    async def _ask(self, contact: Contact, method: Method, arguments: list[Any]) -> Response:
        """Send a request; raises TimedOut after REGISTRAR_SILENT_S at most, on a fast line."""
        wire = self._server.wire
        wait_s = min(2 * wire.timeout_s(contact), wire.line.longest_s)
        return await wire.ask(
            contact, method, arguments, timeout_s=wait_s, tries=limits.REGISTRAR_TRIES
        )
