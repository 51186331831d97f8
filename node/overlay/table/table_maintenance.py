"""Table maintenance: a contact enters by answering a ping, and leaves by failing to answer.

A contact that fails is pinged again after RECHECK_S, so that dead contacts leave the tables after
a few seconds and not after as many lookups. Another contact is pinged with it as a witness: where
neither answers our own network is down, and those pings do not count as failures.

Any peer is pinged that asks and might enter a table, so silent ones could hold every ping: the
network with most of them gives way, and some pings are left for contacts that we know.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from node.counters import Counters
from node.overlay.rpc.incoming import Incoming
from node.overlay.rpc.pending import Reply
from node.overlay.rpc.wire import Wire
from node.overlay.table.connectivity import Connectivity
from node.overlay.table.tables import Tables
from protocol import limits
from protocol.datagrams import DATAGRAM_OVERHEAD_BYTES
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
        self._closed = False
        self._verifying: set[bytes] = set()
        self._askers: dict[bytes, Holder] = {}
        self._shares = Shares()
        self._rechecks: dict[bytes, asyncio.TimerHandle] = {}
        self._left: deque[Contact] = deque(maxlen=limits.LEFT_REMEMBERED)
        self._left_since_filled = 0
        self.connectivity = Connectivity(tables)
        self.depleted = asyncio.Event()

    def close(self) -> None:
        """Send no more pings."""
        self._closed = True
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

    def left(self, contact: Contact) -> None:
        """A contact leaves, as it said itself with proof of its address.

        It is pinged a little later: where an old LEAVE was repeated, it answers and is back.
        """
        table = self._tables.of(contact)
        before = len(table)
        candidate = table.forget(contact)
        if len(table) == before:
            return
        self._left.append(contact)
        self._left_since_filled += 1
        self.connectivity.changed()
        if candidate is not None:
            self.verify(candidate)
        if self._left_since_filled * limits.LEAVES_REFILL_PART >= len(self._tables):
            self.depleted.set()
        self._later(contact, partial(self.verify, contact))

    def is_doubted(self, contact: Contact) -> bool:
        """Whether a contact in the tables left its last request without an answer in time."""
        entry = self._tables.of(contact).get(contact.peer_id)
        return entry is not None and entry.failures > 0 and entry.contact == contact

    def filled(self) -> None:
        """The tables have been filled with what there is."""
        self._left_since_filled = 0
        self.depleted.clear()

    @property
    def left_lately(self) -> list[Contact]:
        """Contacts that left in order, the last first: they may have come back."""
        return list(reversed(self._left))

    def given_up(self, contact: Contact, asked_since: float) -> None:
        """A lookup that began then did not hear from a contact.

        Lookups that hear from no contact at all are no proof while our own network may be down,
        except after OUTAGE_S: then contacts go, and the node joins again.
        """
        may_be_outage = self._loop.time() - self._wire.heard_at < limits.OUTAGE_S
        # For one that is in doubt a lookup hardly waits, which proves little.
        proves = self._is_its_fault(contact, asked_since) and not self.is_doubted(contact)
        if may_be_outage and not proves:
            self._recheck(contact)
        else:
            self.failed(contact)

    # Pings --------------------------------------------------------------------------------

    def verify(self, contact: Contact) -> None:
        """Ping a contact, unless that is under way, and note in the tables how it ends."""
        if contact.packed in self._verifying or len(self._verifying) >= limits.VERIFYING:
            return
        self._verifying.add(contact.packed)
        asked_at, limit_s = self._loop.time(), self._wire.line.longest_s
        ended: asyncio.Future[None] = self._loop.create_future()
        self._wire.request(
            contact,
            Method.PING,
            [],
            partial(self._verified, asked_at, ended),
            timeout_s=max(limit_s, limits.LATE_REPLY_S),
        )
        self._loop.call_later(limit_s, self._silent, contact, asked_at, ended)

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

    def meet(
        self,
        contact: Contact,
        method: Method = Method.MEET,
        *,
        wait_s: float | None = None,
    ) -> asyncio.Future[bool]:
        """Ping a contact, by MEET so that it may ping us back; whether it answers in time.

        What is in time the line of this node decides, which the answer tells of as well.
        """
        met: asyncio.Future[bool] = self._loop.create_future()
        asked_at = self._loop.time()

        def on_reply(reply: Reply) -> None:
            in_time = self._loop.time() - asked_at <= self._wire.line.longest_s
            if answered := reply.response is not None and in_time:
                self.answered(contact)
            if not met.done():
                met.set_result(answered)

        limit_s = wait_s or self._wire.line.longest_s
        self._wire.request(contact, method, [], on_reply, timeout_s=limit_s)
        return met

    def _verified(self, asked_at: float, ended: asyncio.Future[None], reply: Reply) -> None:
        """A ping is answered, perhaps too late: it is for our own line to say what is too late."""
        ended.cancel()
        self._release(reply.contact.packed)
        if reply.response is None:
            return
        if self._loop.time() - asked_at <= self._wire.line.longest_s:
            self.answered(reply.contact)

    def _silent(self, contact: Contact, asked_at: float, ended: asyncio.Future[None]) -> None:
        """The time of a ping is over: another may take its place, as a late answer hardly comes."""
        if ended.done() or self._closed:
            return
        self._release(contact.packed)
        if self._is_its_fault(contact, asked_at):
            self.failed(contact)

    def _is_its_fault(self, contact: Contact, asked_at: float) -> bool:
        """Whether the contact is silent, and not our own network down."""
        return self._wire.heard_at >= asked_at or self._tables.last_to_answer(contact) is None

    def _recheck(self, contact: Contact) -> None:
        def check() -> None:
            witness = self._tables.last_to_answer(contact)
            if witness is not None:
                self.verify(witness)
            self.verify(contact)

        self._later(contact, check)

    def _later(self, contact: Contact, check: Callable[[], None]) -> None:
        """Check a contact after RECHECK_S, if there are not many that wait for that."""
        if contact.packed in self._rechecks or len(self._rechecks) >= limits.VERIFYING:
            return

        def due() -> None:
            del self._rechecks[contact.packed]
            check()

        self._rechecks[contact.packed] = self._loop.call_later(limits.RECHECK_S, due)
