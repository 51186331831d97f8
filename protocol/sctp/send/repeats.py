"""What leaves again: lost chunks, the tail that is probed, and word of messages given up.

Repeated chunks share packets that every path carries. One that is larger leaves alone, or in
pieces: where packets have become smaller since it was cut, and after silence, of which its size may
be the reason.
"""

from protocol.sctp.control.cookie import Peer
from protocol.sctp.core import Core
from protocol.sctp.pieces import cut_chunk
from protocol.sctp.send.departure import Departure
from protocol.sctp.send.flight import Flight
from protocol.sctp.send.fragments import Fragmenter
from protocol.sctp.timers import Timer


class Repeater:
    """Repeats what is lost; `repeated_chunks` counts it."""

    def __init__(self, core: Core, flight: Flight, fragmenter: Fragmenter, peer: Peer) -> None:
        self._core = core
        self._flight = flight
        self._fragmenter = fragmenter
        self._forward_tsn = peer.forward_tsn
        self._takes_pieces = peer.takes_pieces and core.config.own_peer
        self.repeated_chunks = 0
        self.given_up_messages = 0

    def send_lost(
        self, datagrams: list[bytes], now: float, limit: int, budget: float, *, small: bool
    ) -> int:
        """Append lost chunks, `budget` bytes of them, until `limit` datagrams are in the list.

        The pieces of one chunk may exceed both. `small`: none leaves in a large packet that can
        leave in pieces. Returns the bytes that left.
        """
        board, seal = self._flight.board, self._core.writer.seal
        departure = self._flight.departure(now, repeated=True)
        spent = 0
        packet = b""
        small = small or board.large_packets.are_doubtful()
        while board.large_packets.take_test():
            spent += self._send_test(datagrams, departure)
        while spent < budget and len(datagrams) < limit:
            tsn = board.next_lost()
            if tsn is None:
                break
            if self._flight.partial.exhausted(tsn, now):
                self._give_up(tsn, now)
                continue
            chunk = board.chunks[tsn - board.base]
            if packet and len(packet) + len(chunk) > self._fragmenter.small_space:
                datagrams.append(seal(packet))
                packet = b""
                continue
            board.lost.popleft()
            self.repeated_chunks += 1
            pieces = self._pieces(chunk, small=small)
            is_large = not pieces and len(chunk) > self._fragmenter.small_space
            board.departed_again(tsn, departure, is_large=is_large)
            datagrams.extend(map(seal, pieces))
            packet = b"" if pieces else packet + chunk
            spent += sum(map(len, pieces)) or len(chunk)
        if packet:
            datagrams.append(seal(packet))
        if self._flight.partial.due and len(datagrams) < limit:
            self.send_forward_tsn(datagrams, now)
        return spent

    def _send_test(self, datagrams: list[bytes], departure: Departure) -> int:
        """Append the last lost chunk that takes a large packet; its bytes.

        None if it is the first: that is to arrive.
        """
        board = self._flight.board
        first = board.next_lost()
        for tsn in reversed(board.lost):
            chunk = board.chunks[tsn - board.base] if board.is_lost(tsn) and tsn != first else b""
            if self._fragmenter.small_space < len(chunk) <= self._fragmenter.space:
                break
        else:
            return 0
        if self._flight.partial.exhausted(tsn, departure.at):
            return 0
        board.departed_again(tsn, departure, is_large=True)
        datagrams.append(self._core.writer.seal(chunk))
        self.repeated_chunks += 1
        return len(chunk)

    def _pieces(self, chunk: bytes, *, small: bool) -> list[bytes]:
        """The chunk in pieces, if it must leave so and the peer takes them."""
        fragmenter = self._fragmenter
        most = fragmenter.small_space if small else fragmenter.space
        if len(chunk) <= most or not self._takes_pieces:
            return []
        return cut_chunk(chunk, fragmenter.small_space)

    def send_tail(self, tsn: int, now: float) -> None:
        """Repeat the last chunk in flight, so that the peer says what is missing before it."""
        board = self._flight.board
        if self._flight.partial.exhausted(tsn, now):
            self._give_up(tsn, now)
            return
        chunk = board.chunks[tsn - board.base]
        small = board.large_packets.are_doubtful(board.large_in_flight)
        pieces = self._pieces(chunk, small=small)
        is_large = not pieces and len(chunk) > self._fragmenter.small_space
        board.departed_again(tsn, self._flight.departure(now, repeated=True), is_large=is_large)
        for part in pieces or [chunk]:
            self._core.writer.queue(part)
        self.repeated_chunks += 1

    def _give_up(self, tsn: int, now: float) -> None:
        """Give up the message of a TSN, and its rest if that has not left yet.

        The rest takes one TSN, so that the peer learns that the last fragment it may have is not
        the end (RFC 3758, 3.5 A3).
        """
        flight, queue = self._flight, self._core.queue
        message = flight.partial.give_up(tsn, flight.board)
        self.given_up_messages += 1
        if queue.message is message:
            last_sent = flight.board.next_tsn - 1
            queue.drop_current()
            flight.board.skip(flight.departure(now, repeated=True))
            flight.partial.cover_skipped(last_sent)

    def send_forward_tsn(self, datagrams: list[bytes], now: float) -> None:
        """Append the FORWARD TSN chunk that is due, if the peer knows that."""
        chunk = self._flight.partial.forward(self._flight.board, self._fragmenter.small_space)
        if chunk is not None and self._forward_tsn:
            datagrams.append(self._core.writer.seal(chunk))
            timers = self._core.timers
            if not timers.running(Timer.RETRANSMIT):
                timers.at[Timer.RETRANSMIT] = now + self._core.round_trip.rto_s
