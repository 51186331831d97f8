"""Who enters the tables and who leaves them: only what a contact itself answers counts.

A stranger enters once it has answered a ping. A contact that fails is pinged again soon, so that
the dead are gone after a few seconds and not after as many lookups. Another is pinged with it as a
witness: if nobody answers it is our own network that is down, and such pings count for nothing.
"""

import asyncio

from node.counters import Counters
from node.overlay.rpc.incoming import Incoming
from node.overlay.rpc.wire import Reply, Wire
from node.overlay.table.connectivity import Connectivity
from node.overlay.table.tables import Tables
from protocol import limits
from protocol.datagrams import DATAGRAM_OVERHEAD_BYTES
from protocol.errors import Overloaded
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import ANSWER_BYTES, Method

_PING_BYTES = ANSWER_BYTES[Method.PING] + DATAGRAM_OVERHEAD_BYTES


class TableMaintenance:
    """Decides what stands in one node's tables."""

    def __init__(self, wire: Wire, tables: Tables, counters: Counters, *, puzzle_bits: int) -> None:
        self._wire = wire
        self._tables = tables
        self._counters = counters
        self._puzzle_bits = puzzle_bits
        self._loop = asyncio.get_running_loop()
        self._verifying: dict[bytes, float] = {}
        self._rechecks: dict[bytes, asyncio.TimerHandle] = {}
        self.connectivity = Connectivity(tables)

    def close(self) -> None:
        """Ping nobody any more."""
        for timer in self._rechecks.values():
            timer.cancel()
        self._rechecks.clear()

    # What we see and hear -----------------------------------------------------------------

    def asked_by(self, incoming: Incoming) -> None:
        """Somebody asked us something: if there is room for it, verify it."""
        if incoming.read_only:
            return
        contact = incoming.session.contact_at(incoming.address)
        table = self._tables.of(contact)
        wanted = table.asked_by(contact, self._loop.time(), proved=incoming.proved)
        if wanted and incoming.afford(_PING_BYTES):
            self.verify(contact)

    def sound(self, named: list[Contact]) -> list[Contact]:
        """Those of the contacts that somebody named whose key and address may be one."""
        bits = self._puzzle_bits
        # Nearly all were checked before: not even a call for these.
        sound = [one for one in named if one.effort_bits >= bits or one.is_sound(bits)]
        if len(sound) < len(named):
            self._counters.refused["unsound_contact"] += len(named) - len(sound)
        return sound

    def answered(self, contact: Contact) -> None:
        """A contact answered a request of ours in time."""
        displaced = self._tables.of(contact).answered(contact, self._loop.time())
        self.connectivity.changed()
        if displaced is not None:
            self.verify(displaced)

    def failed(self, contact: Contact) -> None:
        """A contact did not answer in time."""
        table = self._tables.of(contact)
        candidate = table.failed(contact)
        self.connectivity.changed()
        if candidate is not None:
            self.verify(candidate)
        entry = table.get(contact.peer_id)
        if entry is not None and entry.contact == contact:
            self._recheck(contact)

    # Pings --------------------------------------------------------------------------------

    def verify(self, contact: Contact) -> None:
        """Ping a contact, once at a time, and let the tables know how it went."""
        if contact.packed in self._verifying or len(self._verifying) >= limits.VERIFYING:
            return
        self._verifying[contact.packed] = self._loop.time()
        self._wire.request(contact, Method.PING, [], self._verified, timeout_s=limits.TIMEOUT_MAX_S)

    def meet(self, contact: Contact) -> asyncio.Future[None]:
        """Ping a contact so that it may get to know us, too; done when it answered, or did not."""
        met: asyncio.Future[None] = self._loop.create_future()

        def on_reply(reply: Reply) -> None:
            if reply.response is not None:
                self.answered(contact)
            if not met.done():
                met.set_result(None)

        self._wire.request(contact, Method.MEET, [], on_reply, timeout_s=limits.TIMEOUT_MAX_S)
        return met

    def _verified(self, reply: Reply) -> None:
        asked_at = self._verifying.pop(reply.contact.packed)
        if reply.response is not None:
            self.answered(reply.contact)
        elif not isinstance(reply.error, Overloaded) and self._is_its_own_fault(
            reply.contact, asked_at
        ):
            self.failed(reply.contact)

    def _is_its_own_fault(self, contact: Contact, asked_at: float) -> bool:
        """Whether it is the contact that is silent, and not our network."""
        return self._wire.heard_at >= asked_at or self._tables.last_seen(contact) is None

    def _recheck(self, contact: Contact) -> None:
        if contact.packed in self._rechecks or len(self._rechecks) >= limits.VERIFYING:
            return

        def check() -> None:
            del self._rechecks[contact.packed]
            witness = self._tables.last_seen(contact)
            if witness is not None:
                self.verify(witness)
            self.verify(contact)

        self._rechecks[contact.packed] = self._loop.call_later(limits.RECHECK_S, check)
