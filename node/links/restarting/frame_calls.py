"""Restarts by frames on the link itself: no lookup, no registrar, one round trip of the link."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from node.links.link import Link
from node.tasks import TaskOwner
from protocol.description import Description
from protocol.errors import Busy, CallCrossed, CallFailed, NoSuchLink
from protocol.frame_types import RESTART_TYPES
from protocol.identity import peer_id_text
from protocol.restarting.frames import (
    RestartAnswer,
    RestartOffer,
    decode_restart_frame,
    encode_restart_frame,
    restart_id,
)
from protocol.signaling import AnswerStatus, CallResult

_REFUSALS: Final[dict[AnswerStatus, Callable[[], CallFailed]]] = {
    AnswerStatus.CROSSED: CallCrossed,
    AnswerStatus.NO_LINK: NoSuchLink,
}


_FRAMES_ROUND_TRIPS: Final = 2.0
_FRAMES_S: Final = 0.3
"""How long the answer to frames is waited for before the same offer goes by registrars as well."""


class FrameCalls:
    """Those of one link, of which at most one of the peer's is being answered.

    `answer` describes our side for the peer's offer; raises NoSuchLink, CallCrossed, Busy. An offer
    that finds `may_answer` false is dropped unread, so that a peer which sends them without end
    costs no more than other frames do; it asks by registrars next, and is told there.
    """

    def __init__(
        self,
        link: Link,
        answer: Callable[[Description], Awaitable[Description]],
        may_answer: Callable[[], bool],
        tasks: TaskOwner,
    ) -> None:
        self._link = link
        self._answer = answer
        self._may_answer = may_answer
        self._tasks = tasks
        self._answering: asyncio.Task[None] | None = None
        self._asked_id = b""
        self._asked: asyncio.Future[Description] | None = None
        link.register(RESTART_TYPES, self._received)

    def ask(self, offer: Description) -> asyncio.Future[Description]:
        """Send an offer; what comes of it is the peer's description, or CallFailed.

        It takes the place of an earlier offer. Raises LinkClosed.
        """
        self._link.send(encode_restart_frame(RestartOffer(offer)))
        self._asked_id = restart_id(offer)
        self._asked = asyncio.get_running_loop().create_future()
        return self._asked

    async def ask_or_call(
        self, offer: Description, round_trip_s: float, call: Callable[[], Awaitable[CallResult]]
    ) -> Description:
        """The answer to an offer on the link itself, whose round trip is given; if that takes long,
        also by a call with the same offer. Raises LinkClosed, and as `call` does.
        """
        answered = self.ask(offer)
        calling: asyncio.Task[CallResult] | None = None
        try:
            await asyncio.wait([answered], timeout=_FRAMES_ROUND_TRIPS * round_trip_s + _FRAMES_S)
            if not answered.done():
                calling = self._tasks.start(_awaited(call), name=peer_id_text(self._link.peer_id))
                ends: list[asyncio.Future[Any]] = [answered, calling]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if calling is None or answered.done():
                return await answered
            return (await calling).description
        finally:
            self.ask_no_more()
            if calling is not None:
                calling.cancel()

    def ask_no_more(self) -> None:
        """The answer came otherwise, or is too late: it is ignored from now on."""
        if self._asked is not None:
            self._asked.cancel()
            self._asked = None

    def _received(self, data: bytes) -> None:
        if data[1] == RestartOffer.type:
            is_busy = self._answering is not None and not self._answering.done()
            if is_busy or not self._may_answer():
                return
        frame = decode_restart_frame(data)
        if isinstance(frame, RestartAnswer):
            self._answered(frame)
            return
        name = peer_id_text(self._link.peer_id)
        self._answering = self._tasks.start(self._answer_to(frame.description), name=name)

    def _answered(self, frame: RestartAnswer) -> None:
        asked = self._asked
        if asked is None or asked.done() or frame.offer_id != self._asked_id:
            return
        if frame.description is not None:
            asked.set_result(frame.description)
        else:
            asked.set_exception(_REFUSALS[frame.status]())
            asked.exception()  # retrieved, as perhaps no task is waiting

    async def _answer_to(self, offer: Description) -> None:
        status, own = AnswerStatus.ACCEPTED, None
        try:
            own = await self._answer(offer)
        except Busy:
            return
        except CallCrossed:
            status = AnswerStatus.CROSSED
        except NoSuchLink:
            status = AnswerStatus.NO_LINK
        self._link.send(encode_restart_frame(RestartAnswer(restart_id(offer), status, own)))


async def _awaited(call: Callable[[], Awaitable[CallResult]]) -> CallResult:
    return await call()
