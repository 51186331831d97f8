"""The line of a node, of which few links are unchoked at once: `content/serving/choker`."""

import asyncio
import contextlib
from typing import Final

from node.content.ports import LineUser
from node.content.rates.transfers import Direction
from protocol import limits
from protocol.content.serving.choker import Choker, LineTurn
from protocol.identity import PeerId
from protocol.places.usefulness import Usefulness

_LOOK_S: Final = 0.02
"""So often a link that holds a turn and has no work looks whether all of it has left."""


class Line:
    """Gives turns to the links of a node; a node has one, with limits `uplink`."""

    def __init__(self, usefulness: Usefulness, uplink: Direction | None = None) -> None:
        self.uplink = uplink or Direction()
        self._usefulness = usefulness
        self._loop = asyncio.get_running_loop()
        self._turns = Choker()
        self._begins: dict[LineTurn, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_due = False

    def turn(self, link: LineUser, *, again: bool) -> LineTurn:
        """A turn for a link to ask for; `again`: for what its peer has had."""
        peer_id = PeerId(link.peer_id)
        gave = self._usefulness.gives(peer_id, self._loop.time())
        is_new = self._usefulness.is_new(peer_id)
        return LineTurn(peer_id, link.network, again, gave, is_new)

    def sender(self, link: LineUser) -> "LineSender":
        """What takes turns for a link."""
        return LineSender(self, link)

    async def take(self, turn: LineTurn) -> bool:
        """Wait until a turn begins; False if it is for what was had, and others go on and on."""
        begins = self._begins[turn] = self._loop.create_future()
        self._turns.ask(turn, self._loop.time())
        self._begin()
        patience_s = limits.LINE_AGAIN_PATIENCE_S if turn.again else None
        try:
            await asyncio.wait_for(begins, patience_s)
        except TimeoutError:
            self.end(turn)
            return False
        except asyncio.CancelledError:
            self.end(turn)
            raise
        finally:
            del self._begins[turn]
        return True

    def is_over(self, turn: LineTurn) -> bool:
        """Whether a turn that is held ends now."""
        return self._turns.is_over(turn, self._loop.time())

    def is_shared(self, turn: LineTurn | None) -> bool:
        """Whether there are turns but this one."""
        return self._turns.are_others(turn)

    @property
    def is_idle(self) -> bool:
        """Whether no turn is held or waited for."""
        return not self._turns.are_others(None)

    def end(self, turn: LineTurn) -> None:
        """A turn ends. Its link may ask anew before the next one begins."""
        self._turns.end(turn, self._loop.time())
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._is_due = False
        for turn in self._turns.begin(self._loop.time()):
            if not self._begins[turn].done():
                self._begins[turn].set_result(None)
        if self._turns.waiting and self._timer is None:
            self._timer = self._loop.call_later(limits.LINE_SLICE_S, self._look)

    def _look(self) -> None:
        """Turns of links that take nothing lapse, while others wait."""
        self._timer = None
        self._begin()


class LineSender:
    """The turns of one link, one after another."""

    def __init__(self, line: Line, link: LineUser) -> None:
        self._line = line
        self._link = link
        self._turn: LineTurn | None = None

    async def may_send(self, *, again: bool) -> bool:
        """Wait for a turn, unless one goes on; raises LinkClosed. False: try again later.

        `again`: for what the peer has had.
        """
        if self.goes_on(again=again):
            return True
        if self._line.is_shared(self._turn):  # what was sent competes with no other's turn
            await self._link.drained(limits.LINE_REST_BYTES)
        self.end()
        turn = self._line.turn(self._link, again=again)
        if await self._line.take(turn):
            self._turn = turn
            return True
        return False

    async def paid(self, size: int) -> None:
        """Wait until the upload limits let so many bytes go."""
        await self._line.uplink.paid(self._link.peer_id, size)

    def goes_on(self, *, again: bool) -> bool:
        """Whether more may be sent in this turn."""
        turn = self._turn
        return turn is not None and turn.again is again and not self._line.is_over(turn)

    async def idle_until(self, work: asyncio.Event) -> None:
        """Wait until there is work; meanwhile the turn ends once little of what was sent waits."""
        while self._turn is not None and not work.is_set():
            if self._link.buffered_bytes <= limits.LINE_REST_BYTES:
                self.end()
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(work.wait(), _LOOK_S)
        await work.wait()

    def end(self) -> None:
        """The link sends no more."""
        if self._turn is not None:
            self._line.end(self._turn)
            self._turn = None
