"""Cuts queued messages into DATA chunks and packs these into datagrams (RFC 9260, 6.9 and 6.10).

A full packet of a long message, which is nearly every packet of a transfer, takes one turn of one
loop; the ends of messages and short ones share packets.
"""

from math import ceil

from google_crc32c import extend

from protocol.sctp import chunks
from protocol.sctp.core import Core
from protocol.sctp.send.flight import Flight
from protocol.sctp.send.outqueue import Message
from protocol.sctp.serial import TSN_MASK

_SPLIT_BYTES_MIN = 128
"""A message begins in a packet that another one left unfilled only with at least so much."""
_BUDGET_MAX = 1 << 30

_pack_data = chunks.DATA_HEADER.pack
_pack_checksum = chunks.CHECKSUM.pack
_HEADER = chunks.DATA_HEADER_BYTES


class Fragmenter:
    """Turns messages into datagrams. `space` is what chunks may take in one.

    `small_space` is what they may take in one that every path carries: no more than `space`.
    """

    def __init__(self, core: Core, flight: Flight) -> None:
        self._queue = core.queue
        self._writer = core.writer
        self._flight = flight
        self._space_min = _space(core.config.packet_bytes)
        self.set_packet_bytes(core.packet_bytes)
        self.sent_chunks = 0

    def set_packet_bytes(self, packet_bytes: int) -> None:
        """Fill packets of this size from now on."""
        self.space = _space(packet_bytes)
        self.small_space = min(self.space, self._space_min)

    def send(self, datagrams: list[bytes], now: float, limit: int, budget: float, room: int) -> int:
        """Append datagrams up to `limit` in the list, `budget` bytes and `room` chunks.

        A chunk may exceed the budget, none is split to fit it. Returns the bytes of chunks sent.
        """
        board, queue, space = self._flight.board, self._queue, self.space
        departure = self._flight.departure(now, repeated=False)
        count_before = len(board.chunks)
        sent_bytes = 0
        packet = b""
        while budget > sent_bytes and room > 0 and len(datagrams) < limit:
            message = queue.message or queue.begin_message(now)
            if message is None:
                break
            remaining = len(message.data) - queue.offset
            if not packet and remaining > space - _HEADER:
                packets = min(
                    (remaining - 1) // (space - _HEADER),
                    limit - len(datagrams),
                    room,
                    ceil(min(budget - sent_bytes, _BUDGET_MAX) / space),
                )
                self._cut_full(message, packets, datagrams)
                board.packed(are_large=space > self.small_space)
                sent_bytes += packets * space
                room -= packets
                continue
            size = _split(remaining, space - len(packet) - _HEADER)
            if size:
                chunk = self._cut(message, size)
                packet += chunk
                sent_bytes += len(chunk)
                room -= 1
            if not size or space - len(packet) < _HEADER + 4:
                self._seal(packet, datagrams)
                packet = b""
        if packet:
            self._seal(packet, datagrams)
        count = len(board.chunks) - count_before
        board.departed(count, sent_bytes, departure)
        self.sent_chunks += count
        return sent_bytes

    def _seal(self, packet: bytes, datagrams: list[bytes]) -> None:
        datagrams.append(self._writer.seal(packet))
        self._flight.board.packed(are_large=len(packet) > self.small_space)

    def _cut_full(self, message: Message, packets: int, datagrams: list[bytes]) -> None:
        """Cut so many full packets from the current message, none of them its last."""
        queue, board, writer = self._queue, self._flight.board, self._writer
        header, start_value = writer.header, writer.start_value
        data, stream_id, sequence = message.data, queue.stream_id, queue.sequence
        payload_protocol = message.payload_protocol
        length = self.space
        size = length - _HEADER
        offset = queue.offset
        plain = chunks.FLAG_UNORDERED if message.unordered else 0
        flags = plain | chunks.FLAG_FIRST if offset == 0 else plain
        first = tsn = board.next_tsn
        keep, send = board.chunks.append, datagrams.append
        end = offset + packets * size
        for position in range(offset, end, size):
            chunk = (
                _pack_data(0, flags, length, tsn & TSN_MASK, stream_id, sequence, payload_protocol)
                + data[position : position + size]
            )
            keep(chunk)
            send(header + _pack_checksum(extend(start_value, chunk)) + chunk)
            tsn += 1
            flags = plain
        queue.offset = end
        queue.took(stream_id, end - offset)
        if message.partial:
            self._flight.partial.register(message, stream_id, sequence, first, tsn - 1)

    def _cut(self, message: Message, size: int) -> bytes:
        """Cut one chunk, perhaps the last, from the current message."""
        queue, board = self._queue, self._flight.board
        stream_id, sequence, offset = queue.stream_id, queue.sequence, queue.offset
        end = offset + size
        flags = chunks.FLAG_UNORDERED if message.unordered else 0
        if offset == 0:
            flags |= chunks.FLAG_FIRST
        if end == len(message.data):
            flags |= chunks.FLAG_LAST
        tsn = board.next_tsn
        chunk = chunks.encode_data(
            flags,
            tsn & TSN_MASK,
            stream_id,
            sequence,
            message.payload_protocol,
            message.data[offset:end],
        )
        board.chunks.append(chunk)
        if message.partial:
            self._flight.partial.register(message, stream_id, sequence, tsn, tsn)
        queue.offset = end
        queue.took(stream_id, size)
        if flags & chunks.FLAG_LAST:
            queue.end_message()
        return chunk

    def ask_for_sack(self, datagrams: list[bytes]) -> None:
        """Set the I bit on the last chunk: nothing follows that would cause a SACK (RFC 7053)."""
        board = self._flight.board
        chunk = board.chunks[-1]
        asking = chunk[:1] + bytes((chunk[1] | chunks.FLAG_IMMEDIATE,)) + chunk[2:]
        board.chunks[-1] = asking
        before = datagrams[-1][chunks.COMMON_HEADER_BYTES : -len(chunk)]
        datagrams[-1] = self._writer.seal(before + asking)


def _space(packet_bytes: int) -> int:
    return (packet_bytes - chunks.COMMON_HEADER_BYTES) & ~3


def _split(remaining: int, room: int) -> int:
    """Return how much of a message goes into a packet's room; zero: it waits for the next."""
    if remaining <= room:
        return remaining
    return room & ~3 if room >= _SPLIT_BYTES_MIN else 0
