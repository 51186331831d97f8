"""Messages that may be given up, and the FORWARD TSN that tells the peer (RFC 3758)."""

from dataclasses import dataclass, field

from protocol.sctp import chunks
from protocol.sctp.send.outqueue import Message
from protocol.sctp.send.scoreboard import GIVEN_UP, IN_FLIGHT, LOST, Scoreboard
from protocol.sctp.serial import TSN_MASK


@dataclass(slots=True, eq=False)
class _Partial:
    message: Message
    stream_id: int
    sequence: int
    first: int
    last: int
    given_up: bool = False
    retransmits: dict[int, int] = field(default_factory=dict)


class PartialReliability:
    """Remembers which TSNs belong to messages with a limit on time or retransmissions."""

    __slots__ = ("_by_tsn", "due")

    def __init__(self) -> None:
        self._by_tsn: dict[int, _Partial] = {}
        self.due = False
        """Whether a FORWARD TSN should leave."""

    def register(
        self, message: Message, stream_id: int, sequence: int, first: int, last: int
    ) -> None:
        """TSNs `first` to `last` carry fragments of this message."""
        partial = self._by_tsn.get(first - 1)
        if partial is None or partial.message is not message:
            partial = _Partial(message, stream_id, sequence, first, last)
        partial.last = last
        for tsn in range(first, last + 1):
            self._by_tsn[tsn] = partial

    def exhausted(self, tsn: int, now: float) -> bool:
        """Whether the message of a lost TSN may not be sent again; counts the attempt if it may."""
        partial = self._by_tsn.get(tsn)
        if partial is None:
            return False
        message = partial.message
        if message.expires_at <= now:
            return True
        if message.max_retransmits is None:
            return False
        attempts = partial.retransmits.get(tsn, 0)
        partial.retransmits[tsn] = attempts + 1
        return attempts >= message.max_retransmits

    def give_up(self, tsn: int, board: Scoreboard) -> Message:
        """Give up the whole message of a TSN and return it."""
        partial = self._by_tsn[tsn]
        partial.given_up = True
        board.give_up(partial.first, partial.last)
        self.due = True
        return partial.message

    def cover_skipped(self, last_sent: int) -> None:
        """The TSN after `last_sent` stands for the fragments that the message never sent."""
        partial = self._by_tsn[last_sent]
        partial.last = last_sent + 1
        self._by_tsn[last_sent + 1] = partial

    def settled(self, first: int, cumulative: int) -> None:
        """Forget the TSNs from `first` to `cumulative`: the peer has moved past them."""
        if self._by_tsn:
            for tsn in range(first, cumulative + 1):
                self._by_tsn.pop(tsn, None)

    def on_sack(self, board: Scoreboard) -> None:
        """Send a FORWARD TSN (again) when the peer still waits for what was given up."""
        if self._by_tsn and _given_up_until(board) > board.cumulative:
            self.due = True

    def forward(self, board: Scoreboard, space: int) -> bytes | None:
        """Return the FORWARD TSN chunk that is due, in at most `space` bytes, or None."""
        self.due = False
        point = _given_up_until(board)
        if point <= board.cumulative:
            return None
        skipped: dict[int, int] = {}
        room = (space - 8) // 4
        for tsn in range(board.cumulative + 1, point + 1):
            partial = self._by_tsn.get(tsn)
            if partial is None or not partial.given_up or partial.message.unordered:
                continue
            if partial.stream_id not in skipped and len(skipped) == room:
                point = tsn - 1
                break
            skipped[partial.stream_id] = partial.sequence
        return chunks.encode_forward_tsn(point & TSN_MASK, list(skipped.items()))


def _given_up_until(board: Scoreboard) -> int:
    """Return the last given-up TSN before which the peer lacks nothing else.

    RFC 3758, 3.5 C2, moves over given-up chunks only. To move over acknowledged ones as well is
    safe, since a message that is not given up then lies between with all its chunks, and on a
    bad path it saves a round trip for each.
    """
    marks, first = board.marks, board.cumulative + 1 - board.base
    end = len(marks)
    for missing in (IN_FLIGHT, LOST):
        index = marks.find(missing, first, end)
        end = index if index >= 0 else end
    index = marks.rfind(GIVEN_UP, first, end)
    return board.base + index if index >= 0 else board.cumulative
