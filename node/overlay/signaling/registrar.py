"""The registrar: keeps NAT mappings of unreachable peers open, and relays offers to them.

It also relays offers to contacts, for callers without the address family by which it has them.

A call is one request and one response end to end: the caller's SIGNAL is held until the callee's
response to our DELIVER comes back. Copies of a call (a repeated SIGNAL, or one by another
registrar) are recognised by the hash of the sealed offer and get the same answer.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from node.overlay.rpc.incoming import Incoming
from node.overlay.rpc.pending import Reply
from node.overlay.rpc.wire import Wire
from node.overlay.table.tables import Tables
from node.tasks import TaskOwner
from protocol import limits
from protocol.codec import shape
from protocol.errors import Busy, Malformed, ModswarmError, RateLimited, RemoteError
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method, code_of
from protocol.overlay.shares import Holder, Shares, holders_of
from protocol.places.calls import CallParties, CallPlaces, believed_safe_s

_log = logging.getLogger(__name__)

AnswerOffer = Callable[[bytes, float], Awaitable[bytes]]
"""Takes a sealed offer to this node, and the seconds that its answer will travel, and returns the
sealed answer; raises RemoteError."""


@dataclass(slots=True)
class Registration:
    """A peer that this node can reach through the peer's NAT; `proof` is signed by the peer.

    `holder` has it among its shares of the registrar: the network from which it registered.
    `heard_at` is when the peer last showed that it is at its address.
    """

    contact: Contact
    proof: bytes
    expires_at: float
    holder: Holder
    heard_at: float


@dataclass(slots=True)
class _Call:
    """A call under way or just answered; `waiting` has the requests that its answer goes to."""

    digest: bytes
    callee_id: bytes
    started_at: float
    waiting: list[Incoming] = field(default_factory=list)
    answer: bytes | None = None
    failure: Code = Code.TIMED_OUT
    done: bool = False
    renewed: bool = False
    deliveries: list[bytes] = field(default_factory=list)
    """The transactions of the requests to the callee: the answer to any copy counts."""


class Registrar:
    """The registrations of other peers, and the offers that arrive for them or for this node."""

    def __init__(
        self,
        own_id: bytes,
        wire: Wire,
        tables: Tables,
        tasks: TaskOwner,
        *,
        answer_offer: AnswerOffer,
    ) -> None:
        self._own_id = own_id
        self._wire = wire
        self._tables = tables
        self._tasks = tasks
        self._answer_offer = answer_offer
        self._loop = asyncio.get_running_loop()
        self._registrations: dict[bytes, Registration] = {}
        self._shares = Shares()
        self._calls: OrderedDict[bytes, _Call] = OrderedDict()
        self._finished: OrderedDict[bytes, None] = OrderedDict()
        self._repeated: OrderedDict[bytes, None] = OrderedDict()
        """Deliveries whose answers are waited for though a newer one of the same call is under way.
        """
        self._places = CallPlaces(own_id)
        self.has_registered = asyncio.Event()
        self.forwarded = 0

    def __len__(self) -> int:
        return len(self._registrations)

    @property
    def call_count(self) -> int:
        """Calls under way, and answered calls that are remembered for their copies."""
        return len(self._calls)

    # Registrations ------------------------------------------------------------------------

    def registration_proof_for(self, peer_id: bytes) -> bytes:
        """The peer's proof that it is registered here and keeps it up; empty if it does not."""
        held = self._registrations.get(peer_id)
        stands = held and held.expires_at > self._loop.time() and self._is_alive(peer_id)
        return held.proof if held and stands else b""

    def contact_of(self, peer_id: bytes) -> Contact | None:
        """The contact of a peer that is registered here."""
        held = self._registrations.get(peer_id)
        return held.contact if held and held.expires_at > self._loop.time() else None

    def registered(self) -> list[Contact]:
        """The peers that are registered here."""
        now = self._loop.time()
        return [held.contact for held in self._registrations.values() if held.expires_at > now]

    def register(self, incoming: Incoming, proof: bytes, now: float) -> None:
        """Register the sender at its address, which is proved.

        Raises RateLimited when full, unless another network has more of it than the sender's.
        """
        peer_id = incoming.session.peer_id
        self._forget_expired(now)
        holder = holders_of(incoming.address.host)[-1]
        if peer_id not in self._registrations and len(self) >= limits.REGISTRATIONS:
            yielding = self._shares.yields(holder)
            if yielding is None:
                raise RateLimited("this registrar has as many registrations as it may")
            self._forget(yielding)
        self._forget(peer_id)
        self._shares.add(holder, peer_id)
        self._registrations[peer_id] = Registration(
            Contact.at(incoming.session.public_key, incoming.address),
            proof,
            now + limits.REGISTRATION_S,
            holder,
            now,
        )
        self.has_registered.set()

    def _forget(self, peer_id: bytes) -> None:
        if (held := self._registrations.pop(peer_id, None)) is not None:
            self._shares.remove(held.holder, peer_id)

    def keepalive(self, incoming: Incoming, now: float) -> bool:
        """Whether the sender is registered; it moves to a new address only with proof of it."""
        held = self._registrations.get(incoming.session.peer_id)
        if held is None or held.expires_at <= now:
            return False
        if held.contact.address != incoming.address:
            if not incoming.proved:
                return False
            held.contact = Contact.at(incoming.session.public_key, incoming.address)
        if incoming.proved:
            held.heard_at = now
        return True

    def left(self, contact: Contact) -> None:
        """A peer leaves: no caller reaches it by this node any more, unless it has moved."""
        held = self._registrations.get(contact.peer_id)
        if held is not None and held.contact == contact:
            self._forget(contact.peer_id)

    def _is_alive(self, peer_id: bytes) -> bool:
        """Whether a registered peer was heard lately: another may have its address by now."""
        held = self._registrations.get(peer_id)
        return held is not None and self._loop.time() - held.heard_at < limits.REGISTERED_ALIVE_S

    def _forget_expired(self, now: float) -> None:
        # Insertion order is expiry order, because each registration lasts equally long.
        while self._registrations:
            peer_id, first = next(iter(self._registrations.items()))
            if first.expires_at > now:
                return
            self._forget(peer_id)

    # Calls --------------------------------------------------------------------------------

    def signal(
        self, incoming: Incoming, callee_id: bytes, sealed: bytes, round_trip_ms: int
    ) -> None:
        """Take an offer for this node, or relay it: to a peer that is registered here, or that this
        node has as a contact of the other address family than the caller's.

        The round trip is the caller's to this node.
        """
        if callee_id == self._own_id:
            self._take_offer(incoming, sealed, _way_s(round_trip_ms / 1000))
            return
        callee = self._way_to(callee_id, incoming.address.family)
        if callee is None:
            incoming.answer([], Code.OFFLINE)
            return
        way_s = round_trip_ms / 1000 + (self._wire.round_trip_s(callee.number) or 0.0)
        call, is_new = self._join(incoming, callee_id, sealed, way_s)
        if call is not None and is_new:
            self.forwarded += 1
            self._forward(call, callee, [sealed, round_trip_ms])

    def _way_to(self, callee_id: bytes, callers_family: int) -> Contact | None:
        """Where a callee is: as a registered peer that is heard, or a contact, or was lately."""
        registered = self.contact_of(callee_id)
        if registered is not None and self._is_alive(callee_id):
            return registered
        return self._tables.beyond(callers_family, callee_id) or registered

    def deliver(self, incoming: Incoming, sealed: bytes, round_trip_ms: int) -> None:
        """Answer an offer to this node; the round trip is that of caller and registrar."""
        own_s = self._wire.round_trip_s(incoming.session.contact.number)
        self._take_offer(incoming, sealed, _way_s(round_trip_ms / 1000) + _way_s(own_s))

    def _take_offer(self, incoming: Incoming, sealed: bytes, answer_takes_s: float) -> None:
        call, is_new = self._join(incoming, self._own_id, sealed, 2 * answer_takes_s)
        if call is not None and is_new:
            answering = self._answer_own(call, sealed, answer_takes_s)
            self._tasks.start(answering, name="answer a call")

    def _join(
        self, incoming: Incoming, callee_id: bytes, sealed: bytes, round_trip_s: float
    ) -> tuple[_Call | None, bool]:
        """The call that this request belongs to, and whether it has just begun; None if it is
        refused as there is no place. The round trip is from the caller to the callee.

        Raises RateLimited, Malformed.
        """
        if not 0 < len(sealed) <= limits.SIGNAL_BYTES:
            raise Malformed(f"a signal of {len(sealed)} bytes")
        self._forget_old_calls()
        digest = hashlib.sha256(callee_id + sealed).digest()
        call = self._calls.get(digest)
        if call is not None:
            self._wait_or_repeat(call, incoming)
            return call, False
        parties = CallParties(incoming.session.peer_id, incoming.address.host, callee_id)
        now = self._loop.time()
        try:
            for displaced in self._places.giving_way(parties, now):
                self._finish(self._calls[displaced], None, Code.BUSY)
        except Busy as error:
            incoming.answer([error.retry_s], Code.BUSY)
            return None, False
        if len(self._calls) >= limits.CALLS_PENDING:
            # Answers are remembered only for copies; a flood of them must not stop new calls.
            self._forget_call(next(iter(self._finished)))
        call = self._calls[digest] = _Call(digest, callee_id, now, [incoming])
        self._places.add(digest, parties, now, believed_safe_s(round_trip_s))
        return call, True

    def _wait_or_repeat(self, call: _Call, incoming: Incoming) -> None:
        if call.done:
            self._reply(call, incoming)
        elif len(call.waiting) < limits.CALL_COPIES:
            call.waiting.append(incoming)

    def _forward(self, call: _Call, callee: Contact, delivery: list[Any]) -> None:
        """Send the offer again and again: a callee's line may be slow, or lossy.

        One that is not registered here gets it once, so no more bytes than its caller sent.
        """
        lasts_s, repeat_s = self._patience(callee)
        ends_at = call.started_at + lasts_s

        def on_reply(reply: Reply) -> None:
            stale = reply.response is not None and reply.response.code == Code.BAD_TOKEN
            if call.done or reply.response is None:
                return
            if not stale:
                self._finish(call, *_outcome(reply))
            elif not call.renewed:
                call.renewed = True
                send()
            elif not self._is_alive(call.callee_id):
                self._finish(call, *_outcome(reply))

        def send() -> None:
            is_heard = self._is_alive(call.callee_id)  # it may have registered anew
            now_at = (self.contact_of(call.callee_id) if is_heard else None) or callee
            left_s = ends_at - self._loop.time()
            self._keep_requests_bounded(call)
            call.deliveries.append(
                self._wire.request(
                    now_at, Method.DELIVER, delivery, on_reply, timeout_s=max(0.0, left_s)
                )
            )

        def repeat() -> None:
            if call.done:
                return
            now = self._loop.time()
            if now >= ends_at or not self._is_alive(call.callee_id):
                self._finish(call, None, Code.OFFLINE)
                return
            send()
            self._loop.call_at(min(now + repeat_s, ends_at), repeat)

        send()
        if self.contact_of(call.callee_id) == callee:
            self._loop.call_later(repeat_s, repeat)
        else:
            self._loop.call_at(ends_at, self._finish, call, None, Code.OFFLINE)

    def _keep_requests_bounded(self, call: _Call) -> None:
        """Before one more delivery of a call: all calls have CALLS_PENDING under way at most."""
        if call.deliveries:
            self._repeated[call.deliveries[-1]] = None
        under_way = len(self._calls) - len(self._finished)
        while self._repeated and under_way + len(self._repeated) > limits.CALLS_PENDING:
            oldest, _ = self._repeated.popitem(last=False)
            self._wire.give_up(oldest)

    def _patience(self, callee: Contact) -> tuple[float, float]:
        """How long a callee may take to answer, and when to repeat the offer, in seconds."""
        measured_s = self._wire.round_trip_s(callee.number)
        if measured_s is not None and measured_s > limits.CALL_FAR_ROUND_TRIP_S:
            return limits.CALL_S, limits.CALL_REPEAT_S
        lasts_s = limits.CALL_UNMEASURED_S if measured_s is None else limits.CALL_NEAR_S
        limit_s = self._wire.line.limit_s
        return min(limit_s(lasts_s), limits.CALL_S), limit_s(limits.CALL_DELIVERED_AGAIN_S)

    async def _answer_own(self, call: _Call, sealed: bytes, answer_takes_s: float) -> None:
        try:
            self._finish(call, await self._answer_offer(sealed, answer_takes_s), Code.OK)
        except RemoteError as error:
            _log.debug("a call was refused: %s", error)
            self._finish(call, None, code_of(error))
        except ModswarmError as error:
            _log.info("a call could not be answered: %s", error)
            self._finish(call, None, Code.REFUSED)

    def _finish(self, call: _Call, answer: bytes | None, failure: Code) -> None:
        if call.done:
            return
        call.done, call.answer, call.failure = True, answer, failure
        self._places.remove(call.digest)
        for delivery in call.deliveries:
            self._repeated.pop(delivery, None)
            self._wire.give_up(delivery)
        call.deliveries.clear()
        self._finished[call.digest] = None
        for incoming in call.waiting:
            self._reply(call, incoming)
        call.waiting.clear()

    def _reply(self, call: _Call, incoming: Incoming) -> None:
        if call.answer is not None:
            incoming.answer([call.answer])
        elif call.failure is Code.BUSY:
            incoming.answer([limits.BUSY_RETRY_S], Code.BUSY)
        else:
            incoming.answer([], call.failure)

    def _forget_old_calls(self) -> None:
        old = self._loop.time() - limits.CALL_MEMORY_S
        while self._calls:
            digest, first = next(iter(self._calls.items()))
            if first.started_at > old:
                return
            self._finish(first, None, Code.TIMED_OUT)
            self._forget_call(digest)

    def _forget_call(self, digest: bytes) -> None:
        del self._calls[digest]
        del self._finished[digest]


def _way_s(round_trip_s: float | None) -> float:
    """How long one way takes; None and 0 say that no round trip was measured."""
    return round_trip_s / 2 if round_trip_s else limits.WAY_UNMEASURED_S


def _outcome(reply: Reply) -> tuple[bytes | None, Code]:
    """The callee's sealed answer, or None and the code that says why."""
    response = reply.response
    if response is None:
        return None, Code.OFFLINE
    if response.code != Code.OK:
        return None, Code(response.code) if response.code in set(Code) else Code.REFUSED
    try:
        (answer,) = shape(response.result, bytes)
    except RemoteError:
        return None, Code.REFUSED
    return (answer, Code.OK) if len(answer) <= limits.SIGNAL_BYTES else (None, Code.REFUSED)
