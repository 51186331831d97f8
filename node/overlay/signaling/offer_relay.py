"""One offer on its way to a peer, by several carriers at once, until one brings a signed answer.

A carrier is a registrar of the peer, or the peer itself. Each goes through these states; only OPEN
ones occupy one of REGISTRARS_CALLED places, so that a silent carrier costs no more than a moment:

    WAITING ──place──> OPEN ──silent──> SLOW
                        └──── refused, or out of time ───┴──> FAILED

The first signed answer ends it. A failure is one only once every carrier has failed.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from node.overlay.rpc.wire import Reply, Wire
from protocol import limits
from protocol.codec import shape
from protocol.errors import CallFailed, ModswarmError, Overloaded, RemoteError, TimedOut
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
    said: str = ""


class OfferRelay:
    """`read_answer` opens a sealed answer, or raises RemoteError.

    `answered` gets the first signed answer and who carried it, or CallFailed, or TimedOut; nothing
    more is sent once it is done. Tell by `complete` that no more carriers will be added.
    """

    def __init__(
        self,
        wire: Wire,
        callee_id: PeerId,
        sealed: bytes,
        *,
        read_answer: Callable[[bytes], Answer],
        answered: asyncio.Future[tuple[Answer, Contact]],
    ) -> None:
        self._wire = wire
        self._arguments = [callee_id, sealed]
        self._loop = asyncio.get_running_loop()
        self._carriers: dict[bytes, _Relay] = {}
        self._complete = False
        self._read_answer = read_answer
        self._answered = answered

    def __len__(self) -> int:
        return len(self._carriers)

    def add(self, contact: Contact) -> None:
        """One more contact that says it reaches the peer; known ones do not count twice."""
        if contact.packed not in self._carriers and len(self) < limits.RELAYS_TRIED:
            self._carriers[contact.packed] = _Relay(contact)
            self._fill()

    def complete(self) -> None:
        """Nobody else carries: once all have failed, the call has."""
        self._complete = True
        self._end_if_failed()

    def _fill(self) -> None:
        """Send by those that wait, as far as there are places."""
        places = limits.REGISTRARS_CALLED
        for carrier in self._carriers.values():
            places -= carrier.state is _State.OPEN
        for carrier in list(self._carriers.values()):
            if places > 0 and carrier.state is _State.WAITING:
                places -= 1
                carrier.state = _State.OPEN
                carrier.give_up_at = self._loop.time() + _patience_s()
                self._send(carrier)

    def _send(self, carrier: _Relay) -> None:
        def on_reply(reply: Reply) -> None:
            self._replied(carrier, reply)

        # An answer to an earlier copy counts as well, hence no shorter time limit.
        timeout_s = max(0.0, carrier.give_up_at - self._loop.time())
        self._wire.request(
            carrier.contact, Method.SIGNAL, self._arguments, on_reply, timeout_s=timeout_s
        )
        self._loop.call_later(limits.CALL_REPEAT_S, self._repeat, carrier)

    def _repeat(self, carrier: _Relay) -> None:
        """Nothing for a while: the datagram may be lost, so send a copy, and use its place."""
        if self._answered.done() or carrier.state is _State.FAILED:
            return
        if self._loop.time() >= carrier.give_up_at:
            self._fail(carrier, "")
            return
        carrier.state = _State.SLOW
        self._send(carrier)
        self._fill()

    def _replied(self, carrier: _Relay, reply: Reply) -> None:
        if self._answered.done() or carrier.state is _State.FAILED:
            return
        if reply.response is not None:
            self._take(carrier, reply.response)
        elif not isinstance(reply.error, TimedOut | Overloaded):
            self._fail(carrier, str(reply.error))

    def _take(self, carrier: _Relay, response: Response) -> None:
        if response.code == Code.BAD_TOKEN and not carrier.renewed:
            carrier.renewed = True  # the refusal brought a fresh token
            self._send(carrier)
        elif response.code != Code.OK:
            self._fail(carrier, _said(response.code))
        else:
            try:
                (sealed,) = shape(response.result, bytes)
                self._answered.set_result((self._read_answer(sealed), carrier.contact))
            except RemoteError as error:
                self._fail(carrier, f"a registrar brought no answer of the peer: {error}")

    def _fail(self, carrier: _Relay, said: str) -> None:
        carrier.state = _State.FAILED
        carrier.said = said
        self._fill()
        self._end_if_failed()

    def _end_if_failed(self) -> None:
        carriers = self._carriers.values()
        if not self._complete or any(one.state is not _State.FAILED for one in carriers):
            return
        if not self._answered.done():
            self._answered.set_exception(_verdict([one.said for one in carriers]))


def _patience_s() -> float:
    """A registrar tries for CALL_S itself, and what it has to say then must come back."""
    return limits.CALL_S + 2 * limits.CALL_REPEAT_S


def _verdict(said: list[str]) -> ModswarmError:
    """What all carriers together say; silence says nothing against those that spoke."""
    spoken = list(dict.fromkeys(one for one in said if one))
    if not said:
        return CallFailed("it is offline: nobody keeps a path to it")
    if not spoken:
        return TimedOut("no answer by any of its registrars")
    return CallFailed(spoken[0] if len(spoken) == 1 else f"its registrars disagree: {spoken}")


def _said(code: int) -> str:
    if code == Code.OFFLINE:
        return "it is offline: its registrars do not reach it"
    name = Code(code).name.lower().replace("_", " ") if code in set(Code) else str(code)
    return f"the registrar says: {name}"
