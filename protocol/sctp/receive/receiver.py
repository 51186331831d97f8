"""Which TSNs have arrived, and what the SACK says about them.

What lies behind a hole is kept as islands of consecutive TSNs in two sorted lists; nearly every
arrival prolongs the last island or the cumulative point, and the rest is found by bisection.

A peer of ours gets a SACK when it asks for one (the I bit, RFC 7053), when a hole opens or is
filled or many are open, when a packet comes twice, or a part of a round trip late. It asks several
times in a round trip, as it knows best what it waits for (QUIC's IMMEDIATE_ACK frame is for the
same). Others count packets and SACKs themselves: they get one for every second packet, and for each
while there is a hole.
"""

from bisect import bisect_right
from collections.abc import Callable

from protocol.sctp import chunks, limits
from protocol.sctp.chunks import FLAG_IMMEDIATE
from protocol.sctp.core import Core
from protocol.sctp.pieces import Pieces
from protocol.sctp.receive.asks import Asks
from protocol.sctp.receive.reassembly import Deliver, Reassembly
from protocol.sctp.serial import TSN_HALF, TSN_MASK
from protocol.sctp.timers import Timer

_MANY_HOLES = 8
"""Where so many are open SACKs are lost as well, and each read is worth one."""


class Receiver:
    """The receiving half of an association whose peer begins with `first_tsn`.

    `refuse` is called with each stream that does not exist and has data, which are acknowledged and
    not kept (RFC 9260, 6.5): a stream in use costs some 100 bytes, and there are 65536 numbers.
    `packets` counts packets with data since the last SACK, `sack_due` says that one should leave.
    What the application has not taken from the inbox counts against the window as well.
    """

    __slots__ = (
        "_advertised",
        "_asks_read",
        "_duplicates",
        "_highs",
        "_inbox",
        "_limit",
        "_lows",
        "_own_peer",
        "_packet_bytes",
        "_read_packets",
        "_refuse",
        "_room",
        "_round_trip",
        "_streams",
        "_timers",
        "_urgent",
        "_window_bytes",
        "asks",
        "cumulative",
        "dropped_chunks",
        "duplicate_chunks",
        "packets",
        "pieces",
        "reassembly",
        "sack_due",
    )

    def __init__(
        self, core: Core, first_tsn: int, deliver: Deliver, refuse: Callable[[int], None]
    ) -> None:
        config = core.config
        self._streams = config.streams
        self._refuse = refuse
        self._own_peer = config.own_peer
        self._packet_bytes = config.packet_bytes
        self.limit_window(core.window_bytes)
        self._round_trip = core.round_trip
        self._timers = core.timers
        self._inbox = core.inbox
        self.cumulative = first_tsn - 1
        self._lows: list[int] = []
        self._highs: list[int] = []
        self._duplicates: list[int] = []
        self.packets = 0
        self.asks = Asks()
        self._asks_read = 0
        self._read_packets = 0
        self._urgent = False
        self._advertised = core.window_bytes
        self.sack_due = False
        self.duplicate_chunks = 0
        self.dropped_chunks = 0
        self.pieces = Pieces()
        self.reassembly = Reassembly(config.max_message_bytes, deliver)

    def limit_window(self, window_bytes: int) -> None:
        """Hold so much for the peer from now on. What is held already stays."""
        self._window_bytes = window_bytes
        self._limit = window_bytes + window_bytes // limits.RECEIVE_WINDOW_SLACK
        self._room = -1  # what is free is counted with the next data

    @property
    def window_bytes(self) -> int:
        """What the peer may send at present, zero rather than less than a packet."""
        window = self._window_bytes - self.reassembly.held_bytes - self._inbox.undrained_bytes
        return window if window >= self._packet_bytes else 0

    @property
    def gaps(self) -> int:
        """Islands behind the first hole."""
        return len(self._lows)

    def on_data(
        self,
        flags: int,
        wire: int,
        stream_id: int,
        sequence: int,
        payload_protocol: int,
        data: bytes,
    ) -> None:
        """Take a DATA chunk; raises ProtocolViolation when fragments contradict each other."""
        ahead = (wire - self.cumulative) & TSN_MASK
        reassembly = self.reassembly
        self._room -= len(data) + limits.MESSAGE_OVERHEAD_BYTES
        if self._room < 0 and not self._make_room(len(data), ahead):
            return
        if ahead == 1 and not self._lows:
            self.cumulative += 1
            tsn = self.cumulative
        else:
            tsn = self.cumulative + ahead
            if not (self._own_peer and self._prolongs_one_of_few(tsn)):
                self._urgent = True
            if not self._insert(tsn, ahead):
                return
        if flags & FLAG_IMMEDIATE:
            self._urgent = True
            self._asks_read += 1
        if stream_id >= self._streams:
            self._refuse(stream_id)
            return
        reassembly.add(tsn, flags, stream_id, sequence, payload_protocol, data, self.cumulative)

    def on_piece(self, value: bytes) -> None:
        """Take a part of a DATA chunk, and with the last one that chunk; raises MalformedChunk."""
        chunk = self.pieces.add(value)
        if chunk is not None:
            _, flags, length, tsn, stream_id, sequence, payload = chunks.DATA_HEADER.unpack_from(
                chunk
            )
            data = chunk[chunks.DATA_HEADER_BYTES : length]
            self.on_data(flags, tsn, stream_id, sequence, payload, data)

    def _prolongs_one_of_few(self, tsn: int) -> bool:
        """Whether it brings no news, unless the SACK before was lost."""
        highs = self._highs
        return 0 < len(highs) < _MANY_HOLES and tsn == highs[-1] + 1

    def _make_room(self, size: int, ahead: int) -> bool:
        """Count anew what is free, since `_room` only falls; False: the data must be dropped.

        Behind a window that is said to be shut, only holes are filled.
        """
        held_bytes = self.reassembly.held_bytes + self._inbox.undrained_bytes
        self._room = self._limit - held_bytes - size
        fills = bool(self._highs) and self.cumulative + ahead < self._highs[-1]
        shut = not self._advertised and not self.window_bytes and not fills
        if self._room < 0 or shut:
            self._room = -1
            self.dropped_chunks += 1
            self._urgent = True
            return False
        return True

    def _insert(self, tsn: int, ahead: int) -> bool:
        """Note a TSN; False when it is here already or too far ahead."""
        lows, highs = self._lows, self._highs
        if ahead == 0 or ahead >= TSN_HALF:
            return self._duplicate(tsn)
        if ahead > limits.TSN_AHEAD:
            self.dropped_chunks += 1
            return False
        if ahead == 1:
            self._advance(tsn)
            return True
        if highs and tsn == highs[-1] + 1:
            highs[-1] = tsn
            return True
        if not highs or tsn > highs[-1]:
            return self._new_island(len(lows), tsn)
        return self._insert_between(tsn)

    def _insert_between(self, tsn: int) -> bool:
        lows, highs = self._lows, self._highs
        right = bisect_right(lows, tsn)
        left = right - 1
        if left >= 0 and tsn <= highs[left]:
            return self._duplicate(tsn)
        joins_left = left >= 0 and highs[left] + 1 == tsn
        joins_right = lows[right] == tsn + 1
        if joins_left and joins_right:
            highs[left] = highs[right]
            del lows[right], highs[right]
        elif joins_left:
            highs[left] = tsn
        elif joins_right:
            lows[right] = tsn
        else:
            return self._new_island(right, tsn)
        return True

    def _new_island(self, position: int, tsn: int) -> bool:
        if len(self._lows) >= limits.GAPS_MAX:
            self.dropped_chunks += 1
            return False
        self._lows.insert(position, tsn)
        self._highs.insert(position, tsn)
        return True

    def _advance(self, tsn: int) -> None:
        """Move the cumulative point to `tsn` and over the islands that it reaches."""
        lows, highs = self._lows, self._highs
        reached = bisect_right(lows, tsn + 1)
        if reached:
            tsn = max(tsn, highs[reached - 1])
            del lows[:reached], highs[:reached]
        self.cumulative = tsn

    def _duplicate(self, tsn: int) -> bool:
        self.duplicate_chunks += 1
        if len(self._duplicates) < limits.DUPLICATES_PER_SACK:
            self._duplicates.append(tsn & TSN_MASK)
        return False

    def on_forward_tsn(self, value: bytes) -> None:
        """Skip what the peer has given up (RFC 3758, 3.6)."""
        wire, streams = chunks.decode_forward_tsn(value)
        self._urgent = True
        self.packets += 1
        ahead = (wire - self.cumulative) & TSN_MASK
        if not 0 < ahead <= limits.TSN_AHEAD:
            return
        before = self.cumulative
        self._advance(before + ahead)
        known = [(stream_id, last) for stream_id, last in streams if stream_id < self._streams]
        self.reassembly.skip(before, before + ahead, known)

    # When to acknowledge --------------------------------------------------------------------

    def after_packet(self) -> None:
        """A packet with data has been read: every second one asks for a SACK."""
        if self._urgent or self.packets >= 2:
            self.sack_due = True

    def after_burst(self, now: float) -> None:
        """All packets that had arrived have been read."""
        if self.pieces.held_bytes:
            self.pieces.forget(self.cumulative)
        read = self.packets - self._read_packets
        if self._own_peer and read:
            self._urgent |= self.asks.read(read, self._asks_read, now)
            self._asks_read = 0
            self._read_packets = self.packets
        if not self.packets or self.sack_due:
            return
        if self._urgent:
            self.sack_due = True
        elif not self._timers.running(Timer.SACK):
            self._timers.at[Timer.SACK] = now + self._delay_s()

    def _delay_s(self) -> float:
        """How long a packet that asks for no SACK waits for one that does."""
        if not self._own_peer or self._round_trip.smoothed_s is None:
            return limits.SACK_DELAY_S
        interval_s = self._round_trip.smoothed_s / limits.SACKS_A_ROUND_TRIP
        share_s = limits.SACK_PATIENCE * max(interval_s, self.asks.period_s or 0.0)
        return min(max(share_s, limits.SACK_DELAY_MIN_S), limits.SACK_DELAY_S)

    def on_sack_timer(self) -> None:
        """No second packet came, or nothing that asks for a SACK."""
        self.sack_due = True

    def on_drained(self) -> None:
        """The application took what was there; a window that had nearly closed is announced."""
        quarter = self._window_bytes // 4
        if self._advertised < quarter and self.window_bytes >= self._advertised + quarter:
            self.sack_due = True

    def sack(self) -> bytes:
        """Return the SACK chunk for now."""
        cumulative = self.cumulative
        offsets: list[int] = []
        for low, high in zip(self._lows[: limits.GAP_BLOCKS_PER_SACK], self._highs, strict=False):
            offsets.append(low - cumulative)
            offsets.append(high - cumulative)
        self._advertised = self.window_bytes
        if not self._advertised:
            self._room = -1
        duplicates = self._duplicates
        chunk = chunks.encode_sack(
            cumulative & TSN_MASK, min(self._advertised, TSN_MASK), offsets, duplicates
        )
        if duplicates:
            self._duplicates = []
        self.packets = self._read_packets = 0
        self._urgent = False
        self.sack_due = False
        self._timers.stop(Timer.SACK)
        return chunk
