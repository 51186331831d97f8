"""One offer on its way to a peer, by several relays at once, until one brings a signed answer.

A relay is a registrar of the peer, or the peer itself. Each goes through these states. Only OPEN
relays occupy one of REGISTRARS_CALLED slots, so a silent one delays the call by CALL_REPEAT_S only:

    WAITING ──slot──> OPEN ──silent──> SLOW
                       └──── refused, or out of time ───┴──> FAILED

The first signed answer ends the call. The call fails only once every relay has failed. Why it did
is not told on the word of one network where two others agree, but for the peer's own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from node.overlay.rpc.pending import Reply
from node.overlay.rpc.wire import Wire
from protocol import limits
from protocol.causes.cause import Cause
from protocol.codec import ranged, shape
from protocol.errors import (
    CalleeBusy,
    CallFailed,
    ClocksDiffer,
    NetworkError,
    Overloaded,
    RemoteError,
    TimedOut,
)
from protocol.identity import PeerId
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method, Response
from protocol.signaling import Answer


class _State(IntEnum):
    WAITING = 0
    OPEN = 1
    SLOW = 2
    FAILED = 3


@dataclass(slots=True)
class _Relay:
    contact: Contact
    state: _State = _State.WAITING
    give_up_at: float = 0.0
    renewed: bool = False
    failure: NetworkError | None = None
    """Why the call fails by this relay; None while it may still answer, and of a silent one."""


class OfferRelay:
    """Sends an offer by each relay that is added. `complete` tells that no more will be.

    `voice` gives the network whose word a contact's is. `read_answer` opens a sealed answer, or
    raises RemoteError. `answered` gets the first signed answer and the relay that brought it, or
    CallFailed, or TimedOut. Once it is done nothing more is sent.
    """

    def __init__(
        self,
        wire: Wire,
        callee_id: PeerId,
        sealed: bytes,
        *,
        voice: Callable[[Contact], bytes],
        read_answer: Callable[[bytes], Answer],
        answered: asyncio.Future[tuple[Answer, Contact]],
    ) -> None:
        self._wire = wire
        self._callee_id = callee_id
        self._sealed = sealed
        self._voice = voice
        self._loop = asyncio.get_running_loop()
        self._relays: dict[bytes, _Relay] = {}
        self._complete = False
        self._read_answer = read_answer
        self._answered = answered

    def __len__(self) -> int:
        return len(self._relays)

    def add(self, contact: Contact) -> None:
        """Add a contact that says it reaches the peer; a known one is not added twice."""
        if contact.packed not in self._relays and len(self) < limits.RELAYS_TRIED:
            self._relays[contact.packed] = _Relay(contact)
            self._fill()

    def complete(self) -> None:
        """No more relays will be added: once all have failed, the call has failed."""
        self._complete = True
        self._end_if_failed()

    def _fill(self) -> None:
        """Send by relays that wait, as far as there are slots."""
        slots = limits.REGISTRARS_CALLED
        for relay in self._relays.values():
            slots -= relay.state is _State.OPEN
        for relay in list(self._relays.values()):
            if slots > 0 and relay.state is _State.WAITING:
                slots -= 1
                relay.state = _State.OPEN
                relay.give_up_at = self._loop.time() + self._patience_s(relay.contact)
                self._send(relay)

    def _patience_s(self, contact: Contact) -> float:
        """A registrar itself tries for CALL_S at most; its response must still come back.

        The callee asks no other node, so it has as long as one that is near has of its registrars.
        """
        measured_s = self._wire.round_trip_s(contact.number) or 0.0
        if contact.peer_id == self._callee_id and measured_s <= limits.CALL_FAR_ROUND_TRIP_S:
            return self._wire.line.limit_s(limits.CALL_UNMEASURED_S)
        return self._wire.line.limit_s(limits.CALL_S + 2 * limits.CALL_REPEAT_S, round_trips=2)

    def _send(self, relay: _Relay) -> None:
        def on_reply(reply: Reply) -> None:
            self._replied(relay, reply)

        # An answer to an earlier copy counts as well, hence no shorter time limit.
        timeout_s = max(0.0, relay.give_up_at - self._loop.time())
        arguments = [self._callee_id, self._sealed, self._round_trip_ms(relay.contact)]
        self._wire.request(relay.contact, Method.SIGNAL, arguments, on_reply, timeout_s=timeout_s)
        self._loop.call_later(self._wire.line.limit_s(limits.CALL_REPEAT_S), self._repeat, relay)

    def _round_trip_ms(self, contact: Contact) -> int:
        """What the callee wants to know: half of it is how long an answer takes from this relay.

        0 if it is not measured.
        """
        measured_s = self._wire.round_trip_s(contact.number)
        if measured_s is None:
            return 0
        return min(max(1, round(1000 * measured_s)), limits.ROUND_TRIP_MS_MAX)

    def _repeat(self, relay: _Relay) -> None:
        """No response yet: the datagram may be lost, so send a copy, and free the relay's slot."""
        if self._answered.done() or relay.state is _State.FAILED:
            return
        if self._loop.time() >= relay.give_up_at:
            self._fail(relay, None)
            return
        relay.state = _State.SLOW
        self._send(relay)
        self._fill()

    def _replied(self, relay: _Relay, reply: Reply) -> None:
        if self._answered.done() or relay.state is _State.FAILED:
            return
        if reply.response is not None:
            self._take(relay, reply.response)
        elif not isinstance(reply.error, TimedOut | Overloaded):
            self._fail(relay, CallFailed(f"a registrar cannot be used: {reply.error}"))

    def _take(self, relay: _Relay, response: Response) -> None:
        if response.code == Code.BAD_TOKEN and not relay.renewed:
            relay.renewed = True  # the refusal brought a fresh token
            self._send(relay)
        elif response.code != Code.OK:
            self._fail(relay, _refusal(response))
        else:
            try:
                (sealed,) = shape(response.result, bytes)
                self._answered.set_result((self._read_answer(sealed), relay.contact))
            except RemoteError as error:
                reason = f"a registrar brought no answer signed by the peer: {error}"
                self._fail(relay, CallFailed(reason))

    def _fail(self, relay: _Relay, failure: NetworkError | None) -> None:
        relay.state = _State.FAILED
        relay.failure = failure
        self._fill()
        self._end_if_failed()

    def _end_if_failed(self) -> None:
        relays = self._relays.values()
        if not self._complete or any(one.state is not _State.FAILED for one in relays):
            return
        if not self._answered.done():
            self._answered.set_exception(self._verdict())

    def _verdict(self) -> NetworkError:
        """Why the call failed.

        What only the callee can have said tells more than that a relay does not reach it.
        """
        if not self._relays:
            return CallFailed(cause=Cause.NOT_REGISTERED)
        told = [
            (relay.contact, relay.failure)
            for relay in self._relays.values()
            if relay.failure is not None
        ]
        if not told:
            return TimedOut(cause=Cause.REGISTRARS_SILENT)
        itself = [why for one, why in told if one.peer_id == self._callee_id and why.cause]
        voices: dict[Cause | None, set[bytes]] = {}
        for contact, why in told:
            voices.setdefault(why.cause, set()).add(self._voice(contact))
        agreed = [why for _, why in told if len(voices[why.cause]) >= limits.REGISTRARS_BELIEVED]
        return min(itself or agreed or [why for _, why in told], key=_rank)


def _rank(failure: NetworkError) -> int:
    causes = list(_REFUSALS.values())
    return causes.index(failure.cause) if failure.cause in causes else len(causes)


_REFUSALS: dict[int, Cause] = {
    Code.EXPIRED: Cause.CLOCKS_DIFFER,
    Code.ISSUED_IN_FUTURE: Cause.CLOCKS_DIFFER,
    Code.REFUSED: Cause.REFUSED,
    Code.BUSY: Cause.BUSY,
    Code.RATE_LIMITED: Cause.TOO_MANY_CALLS,
    Code.OFFLINE: Cause.OFFLINE,
    Code.TIMED_OUT: Cause.OFFLINE,
}
"""By the code of a refusal, the most telling first."""


def _refusal(response: Response) -> NetworkError:
    code = response.code
    cause = _REFUSALS.get(code)
    if cause in (Cause.BUSY, Cause.TOO_MANY_CALLS):
        return CalleeBusy(_retry_s(response), cause=cause)
    if cause is Cause.CLOCKS_DIFFER:
        return ClocksDiffer(cause=cause)
    if cause is not None:
        return CallFailed(cause=cause)
    name = Code(code).name.lower().replace("_", " ") if code in set(Code) else str(code)
    return CallFailed(f"a registrar refused the call: {name}")


def _retry_s(response: Response) -> int:
    """When a node that has no place for a call is to be asked again, by what it says."""
    try:
        (told_s,) = shape(response.result, int)
        return ranged(told_s, 1, limits.BUSY_RETRY_MAX_S)
    except RemoteError:
        return limits.BUSY_RETRY_S
