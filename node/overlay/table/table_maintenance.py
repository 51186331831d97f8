"""Table maintenance: a contact enters by answering a ping, and leaves by failing to answer.

A contact that fails is pinged again after RECHECK_S, so that dead contacts leave the tables after
a few seconds and not after as many lookups. Another contact is pinged with it as a witness: where
neither answers our own network is down, and those pings do not count as failures.

Any peer is pinged that asks and might enter a table, so silent ones could hold every ping: the
network with most of them gives way, and some pings are left for contacts that we know.
"""

import asyncio
from functools import partial

from node.counters import Counters
from node.overlay.rpc.incoming import Incoming
from node.overlay.rpc.pending import Reply
from node.overlay.rpc.wire import Wire
from node.overlay.table.connectivity import Connectivity
from node.overlay.table.tables import Tables
from protocol import limits
from protocol.datagrams import DATAGRAM_OVERHEAD_BYTES
from protocol.errors import Overloaded
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import ANSWER_BYTES, Method
from protocol.overlay.shares import Holder, Shares, holders_of

_PING_BYTES = ANSWER_BYTES[Method.PING] + DATAGRAM_OVERHEAD_BYTES


class TableMaintenance:
    """Decides what stands in one node's tables."""

    def __init__(self, wire: Wire, tables: Tables, counters: Counters, *, puzzle_bits: int) -> None:
        self._wire = wire
        self._tables = tables
        self._counters = counters
        self._puzzle_bits = puzzle_bits
        self._loop = asyncio.get_running_loop()
        self._verifying: set[bytes] = set()
        self._askers: dict[bytes, Holder] = {}
        self._shares = Shares()
        self._rechecks: dict[bytes, asyncio.TimerHandle] = {}
        self.connectivity = Connectivity(tables)

    def close(self) -> None:
        """Send no more pings."""
        for timer in self._rechecks.values():
            timer.cancel()
        self._rechecks.clear()

    @property
    def verifying_count(self) -> int:
        """Contacts being pinged now."""
        return len(self._verifying)

    # What other nodes do ------------------------------------------------------------------

    def asked_by(self, incoming: Incoming) -> None:
        """Note a request of another node, and ping that node if its bucket has room.

        One that has found out that it is not public leaves the table, if its address is proved.
        """
        contact = incoming.session.contact_at(incoming.address)
        table = self._tables.of(contact)
        if incoming.read_only:
            candidate = table.forget(contact) if incoming.proved else None
            if candidate is not None:
                self.verify(candidate)
            return
        wanted = table.asked_by(contact, self._loop.time(), proved=incoming.proved)
        if wanted and incoming.may_also_send(_PING_BYTES):
            self._verify_asker(contact)

    def valid(self, named: list[Contact]) -> list[Contact]:
        """The named contacts with a key that solves the puzzle and a unicast address."""
        bits = self._puzzle_bits
        # Nearly all were checked before, and cost no call.
        valid = [one for one in named if one.effort_bits >= bits or one.is_valid(bits)]
        if len(valid) < len(named):
            self._counters.refused["unsound_contact"] += len(named) - len(valid)
        return valid

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

    def given_up(self, contact: Contact, asked_since: float) -> None:
        """A lookup that began then did not hear from a contact.

        Lookups that hear from no contact at all are no proof while our own network may be down,
        except after OUTAGE_S: then contacts go, and the node joins again.
        """
        may_be_outage = self._loop.time() - self._wire.heard_at < limits.OUTAGE_S
        if may_be_outage and not self._is_its_fault(contact, asked_since):
            self._recheck(contact)
        else:
            self.failed(contact)

    # Pings --------------------------------------------------------------------------------

    def verify(self, contact: Contact) -> None:
        """Ping a contact, unless that is under way, and note in the tables how it ends."""
        if contact.packed in self._verifying or len(self._verifying) >= limits.VERIFYING:
            return
        self._verifying.add(contact.packed)
        ended = partial(self._verified, self._loop.time())
        self._wire.request(contact, Method.PING, [], ended, timeout_s=limits.TIMEOUT_MAX_S)

    def _verify_asker(self, contact: Contact) -> None:
        """The same for a peer that asked us something, if its network has few such pings."""
        key, holder = contact.packed, holders_of(contact.address.host)[-1]
        if key in self._verifying:
            return
        if len(self._askers) >= limits.VERIFYING_ASKERS:
            yielding = self._shares.yields(holder)
            if yielding is None:
                return
            self._release(yielding)
        self.verify(contact)
        if key in self._verifying:
            self._askers[key] = holder
            self._shares.add(holder, key)

    def _release(self, key: bytes) -> None:
        """Another ping may take the place of this one; its answer counts all the same."""
        self._verifying.discard(key)
        if key in self._askers:
            self._shares.remove(self._askers.pop(key), key)

    def meet(self, contact: Contact, method: Method = Method.MEET) -> asyncio.Future[bool]:
        """Ping a contact, by MEET so that it may ping us back; whether it answers."""
        met: asyncio.Future[bool] = self._loop.create_future()

        def on_reply(reply: Reply) -> None:
            if reply.response is not None:
                self.answered(contact)
            if not met.done():
                met.set_result(reply.response is not None)

        self._wire.request(contact, method, [], on_reply, timeout_s=limits.TIMEOUT_MAX_S)
        return met

    def _verified(self, asked_at: float, reply: Reply) -> None:
        self._release(reply.contact.packed)
        if reply.response is not None:
            self.answered(reply.contact)
        elif not isinstance(reply.error, Overloaded) and self._is_its_fault(
            reply.contact, asked_at
        ):
            self.failed(reply.contact)

    def _is_its_fault(self, contact: Contact, asked_at: float) -> bool:
        """Whether the contact is silent, and not our own network down."""
        return self._wire.heard_at >= asked_at or self._tables.last_to_answer(contact) is None

    def _recheck(self, contact: Contact) -> None:
        if contact.packed in self._rechecks or len(self._rechecks) >= limits.VERIFYING:
            return

        def check() -> None:
            del self._rechecks[contact.packed]
            witness = self._tables.last_to_answer(contact)
            if witness is not None:
                self.verify(witness)
            self.verify(contact)

        self._rechecks[contact.packed] = self._loop.call_later(limits.RECHECK_S, check)
