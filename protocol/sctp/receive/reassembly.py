"""Messages from fragments, in any order of arrival, at constant cost per fragment.

Fragments of a message have consecutive TSNs (RFC 9260, 6.9). So an unfinished message is a set of
runs of consecutive TSNs; a new fragment prolongs a run, joins two, or begins one, and dictionaries
by first and last TSN find the neighbours. The run being prolonged at present, `_tail`, stays out of
them. A whole message is handed over at once, whatever is missing before it, unless it is ordered
and an earlier one of the same stream is missing: holes of one stream never delay another.
"""

from collections import deque
from collections.abc import Callable, Iterable

from protocol.sctp import limits
from protocol.sctp.chunks import FLAG_FIRST, FLAG_LAST, FLAG_UNORDERED, FLAG_WHOLE
from protocol.sctp.errors import ProtocolViolation
from protocol.sctp.serial import SSN_MASK, ssn_is_ahead

_OVERHEAD = limits.MESSAGE_OVERHEAD_BYTES

Deliver = Callable[[int, int, bytes], None]
"""Called with stream, payload protocol and data of each whole message."""


class _Run:
    """Consecutive fragments of one message."""

    __slots__ = (
        "begins",
        "ends",
        "first",
        "fragments",
        "last",
        "payload_protocol",
        "sequence",
        "size",
        "stream_id",
        "unordered",
    )

    def __init__(
        self, first: int, flags: int, stream_id: int, sequence: int, payload_protocol: int
    ) -> None:
        self.first = first
        self.last = first - 1
        self.begins = bool(flags & FLAG_FIRST)
        self.ends = False
        self.unordered = bool(flags & FLAG_UNORDERED)
        self.stream_id = stream_id
        self.sequence = sequence
        self.payload_protocol = payload_protocol
        self.size = 0
        self.fragments: deque[bytes] = deque()

    @property
    def charged_bytes(self) -> int:
        """What holding it costs."""
        return self.size + _OVERHEAD * len(self.fragments)

    def absorb(self, right: "_Run") -> None:
        """Take over the run that follows; the smaller list of fragments moves."""
        if len(self.fragments) >= len(right.fragments):
            self.fragments.extend(right.fragments)
        else:
            right.fragments.extendleft(reversed(self.fragments))
            self.fragments = right.fragments
        self.last = right.last
        self.ends = right.ends
        self.size += right.size


class Reassembly:
    """Holds what is not whole or not in order yet; `held_bytes` says what that costs."""

    __slots__ = (
        "_by_first",
        "_by_last",
        "_deliver",
        "_held_bytes",
        "_max_message_bytes",
        "_next_sequence",
        "_tail",
        "_waiting",
        "stale_messages",
    )

    def __init__(self, max_message_bytes: int, deliver: Deliver) -> None:
        self._max_message_bytes = max_message_bytes
        self._deliver = deliver
        self._tail: _Run | None = None
        self._by_first: dict[int, _Run] = {}
        self._by_last: dict[int, _Run] = {}
        self._next_sequence: dict[int, int] = {}
        self._waiting: dict[int, dict[int, tuple[int, bytes]]] = {}
        self._held_bytes = 0
        self.stale_messages = 0

    @property
    def held_count(self) -> int:
        """Runs of fragments, and whole messages that wait for their turn."""
        runs = len(self._by_first) + (self._tail is not None)
        return runs + sum(map(len, self._waiting.values()))

    @property
    def held_bytes(self) -> int:
        """What is held costs so much; the window shrinks by it."""
        tail = self._tail
        return self._held_bytes if tail is None else self._held_bytes + tail.charged_bytes

    def add(
        self,
        tsn: int,
        flags: int,
        stream_id: int,
        sequence: int,
        payload_protocol: int,
        data: bytes,
        cumulative: int = -1,
    ) -> None:
        """Take the fragment of a TSN that was not here before; raises ProtocolViolation.

        Every TSN up to `cumulative` is here or given up, this one included if it is not above.
        """
        if flags & FLAG_WHOLE == FLAG_WHOLE:
            self._complete(
                bool(flags & FLAG_UNORDERED), stream_id, sequence, payload_protocol, data
            )
            return
        run = self._tail
        if run is None or run.last + 1 != tsn or flags & FLAG_FIRST:
            run = self._find_run(tsn, flags, stream_id, sequence, payload_protocol)
            if not run.begins and not run.size and tsn <= cumulative:
                self._tail = None
                self.stale_messages += 1
                return
        if run.stream_id != stream_id or run.sequence != sequence:
            raise ProtocolViolation("Fragments of one message name different streams.")
        run.fragments.append(data)
        run.last = tsn
        run.size += len(data)
        if run.size > self._max_message_bytes:
            raise ProtocolViolation("A message is larger than what we accept.")
        if flags & FLAG_LAST:
            run.ends = True
        elif self._by_first:
            self._join_right(run)
        if run.ends:
            self._tail = None
            if run.begins:
                self._complete_run(run)
            else:
                self._stash(run)

    def _find_run(
        self, tsn: int, flags: int, stream_id: int, sequence: int, payload_protocol: int
    ) -> _Run:
        if self._tail is not None:
            self._stash(self._tail)
        left = self._by_last.get(tsn - 1)
        if left is not None:
            self._unstash(left)
            if flags & FLAG_FIRST:
                self.stale_messages += 1
                left = None
        self._tail = left or _Run(tsn, flags, stream_id, sequence, payload_protocol)
        return self._tail

    def _join_right(self, run: _Run) -> None:
        right = self._by_first.get(run.last + 1)
        if right is None or right.begins:
            return
        if right.stream_id != run.stream_id or right.sequence != run.sequence:
            raise ProtocolViolation("Fragments of one message name different streams.")
        self._unstash(right)
        run.absorb(right)
        if run.size > self._max_message_bytes:
            raise ProtocolViolation("A message is larger than what we accept.")

    def _stash(self, run: _Run) -> None:
        """File a run that is not being prolonged at present."""
        self._held_bytes += run.charged_bytes
        self._by_first[run.first] = run
        if not run.ends:
            self._by_last[run.last] = run

    def _unstash(self, run: _Run) -> None:
        self._held_bytes -= run.charged_bytes
        del self._by_first[run.first]
        if not run.ends:
            del self._by_last[run.last]

    def _complete_run(self, run: _Run) -> None:
        data = b"".join(run.fragments)
        self._complete(run.unordered, run.stream_id, run.sequence, run.payload_protocol, data)

    def _complete(
        self, unordered: bool, stream_id: int, sequence: int, payload_protocol: int, data: bytes
    ) -> None:
        if len(data) > self._max_message_bytes:
            raise ProtocolViolation("A message is larger than what we accept.")
        if unordered:
            self._deliver(stream_id, payload_protocol, data)
            return
        expected = self._next_sequence.get(stream_id, 0)
        if sequence == expected:
            self._next_sequence[stream_id] = (expected + 1) & SSN_MASK
            self._deliver(stream_id, payload_protocol, data)
            if stream_id in self._waiting:
                self._deliver_waiting(stream_id)
        else:
            self._wait(stream_id, sequence, payload_protocol, data)

    def _wait(self, stream_id: int, sequence: int, payload_protocol: int, data: bytes) -> None:
        waiting = self._waiting.setdefault(stream_id, {})
        if sequence in waiting:
            self.stale_messages += 1
            return
        waiting[sequence] = (payload_protocol, data)
        self._held_bytes += len(data) + _OVERHEAD

    def _deliver_waiting(self, stream_id: int) -> None:
        waiting = self._waiting[stream_id]
        sequence = self._next_sequence[stream_id]
        while (message := waiting.pop(sequence, None)) is not None:
            sequence = (sequence + 1) & SSN_MASK
            self._held_bytes -= len(message[1]) + _OVERHEAD
            self._deliver(stream_id, *message)
        self._next_sequence[stream_id] = sequence
        if not waiting:
            del self._waiting[stream_id]

    def skip(self, before: int, cumulative: int, streams: Iterable[tuple[int, int]]) -> None:
        """Skip what is missing up to a TSN, and up to a number in some streams (RFC 3758).

        `before` is the last TSN that nothing was missing up to until now. The work grows with what
        is skipped or with what is held, whichever is less: a packet may ask for a hundred skips.
        """
        self._prune(before, cumulative)
        for stream_id, sequence in streams:
            expected = self._next_sequence.get(stream_id, 0)
            after = (sequence + 1) & SSN_MASK
            if not ssn_is_ahead(after, expected):
                continue
            waiting = self._waiting.get(stream_id, {})
            for number in _skipped(waiting, expected, after):
                payload_protocol, data = waiting.pop(number)
                self._held_bytes -= len(data) + _OVERHEAD
                self._deliver(stream_id, payload_protocol, data)
            self._next_sequence[stream_id] = after
            if stream_id in self._waiting:
                self._deliver_waiting(stream_id)

    def _prune(self, before: int, cumulative: int) -> None:
        """Discard runs that can never be whole: they end, or begin without a first, before it."""
        if self._tail is not None:
            self._stash(self._tail)
            self._tail = None
        for run in self._begun(before, cumulative):
            hopeless = run.last <= cumulative or (run.first <= cumulative and not run.begins)
            if hopeless:
                self._unstash(run)
                self.stale_messages += 1

    def _begun(self, before: int, cumulative: int) -> list[_Run]:
        """Return all runs that may begin up to `cumulative`, except those handled by `before`."""
        by_first = self._by_first
        if len(by_first) <= cumulative - before:
            return list(by_first.values())
        runs = [by_first[tsn] for tsn in range(before + 1, cumulative + 1) if tsn in by_first]
        unfinished = self._by_last.get(before)
        return runs if unfinished is None else [unfinished, *runs]

    def reset(self, stream_ids: Iterable[int]) -> None:
        """Expect number zero next in these streams, in all when none is named (RFC 6525)."""
        for stream_id in list(stream_ids) or [*self._next_sequence, *self._waiting]:
            self._next_sequence.pop(stream_id, None)
            for _, data in self._waiting.pop(stream_id, {}).values():
                self._held_bytes -= len(data) + _OVERHEAD
                self.stale_messages += 1


def _skipped(waiting: dict[int, tuple[int, bytes]], expected: int, after: int) -> list[int]:
    """Return the numbers held from `expected` up to but not including `after`, in order."""
    count = (after - expected) & SSN_MASK
    if count < len(waiting):
        numbers = ((expected + offset) & SSN_MASK for offset in range(count))
        return [number for number in numbers if number in waiting]
    held = [number for number in waiting if (number - expected) & SSN_MASK < count]
    return sorted(held, key=lambda number: (number - expected) & SSN_MASK)
