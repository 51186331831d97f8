"""What leaves and when: new chunks, retransmissions, and their timers.

TSNs are assigned when a chunk leaves for the first time. Losses are found by time, the tail is
probed, and the retransmission timeout is the last resort. The probe's timer is armed when flight
begins and moved by acknowledgements, never by sending: else a busy sender would never probe.
"""

from math import inf

from protocol.sctp import chunks, limits
from protocol.sctp.control.cookie import Peer
from protocol.sctp.core import Core
from protocol.sctp.events import PathNarrowed
from protocol.sctp.send.congestion import CongestionControl
from protocol.sctp.send.departure import AckNews
from protocol.sctp.send.flight import Flight
from protocol.sctp.send.fragments import Fragmenter
from protocol.sctp.send.pacing import CATCH_UP_S, Pacer
from protocol.sctp.send.repeats import Repeater
from protocol.sctp.send.rtt import ROUND_TRIP_S_MIN
from protocol.sctp.send.scoreboard import Scoreboard
from protocol.sctp.timers import Timer


class Sender:
    """The sending half of an established association."""

    def __init__(
        self, core: Core, congestion: CongestionControl, first_tsn: int, peer: Peer
    ) -> None:
        self._core = core
        self._own_peer = core.config.own_peer
        self._queue = core.queue
        self._timers = core.timers
        self._round_trip = core.round_trip
        self._forward_tsn = peer.forward_tsn
        self._flight = Flight(core, first_tsn, peer.window_bytes, peer.forward_tsn)
        self._fragmenter = Fragmenter(core, self._flight)
        self._repeater = Repeater(core, self._flight, self._fragmenter, peer)
        self._packet_bytes = 0
        self._window_probe = False
        self._tail_probed = False
        self._paced_until = inf
        self._ask_at = -inf
        self._flows_from = inf
        self._timed_out_until = -1
        self._timeouts_in_row = 0
        self.congestion = congestion
        self.pacer = Pacer()
        self.set_packet_bytes(core.packet_bytes)
        self.timeouts = 0
        self.tail_probes = 0
        self.silent_since = inf
        """When what was sent was repeated first since anything was acknowledged, or since the path
        changed; inf if nothing was."""

    def set_packet_bytes(self, packet_bytes: int) -> None:
        """Build packets of this size from now on; what is in flight keeps its own."""
        if packet_bytes > self._packet_bytes:
            self.board.large_packets.grow()
        self._packet_bytes = packet_bytes
        self._fragmenter.set_packet_bytes(packet_bytes)
        self.pacer.set_packet_bytes(self._fragmenter.space)
        self.congestion.set_packet_bytes(packet_bytes)

    @property
    def board(self) -> Scoreboard:
        """What is in flight."""
        return self._flight.board

    @property
    def timeouts_in_row(self) -> int:
        """Retransmission timeouts since anything was acknowledged."""
        return self._timeouts_in_row

    @property
    def delivered_bytes(self) -> int:
        """Bytes that the peer has acknowledged so far."""
        return self._flight.delivered_bytes

    @property
    def peer_window(self) -> int:
        """Bytes that the peer has room for, as it said last."""
        return self._flight.peer_window

    @property
    def backlog_bytes(self) -> int:
        """Bytes that were given to send and that the peer has not acknowledged."""
        return self._queue.total_bytes + self.board.outstanding_bytes

    @property
    def sent_chunks(self) -> int:
        """Chunks that have left, repetitions not counted."""
        return self._fragmenter.sent_chunks

    @property
    def repeated_chunks(self) -> int:
        """Repetitions that have left."""
        return self._repeater.repeated_chunks

    @property
    def given_up_messages(self) -> int:
        """Messages that were not sent to their end, or not again (RFC 3758)."""
        return self._repeater.given_up_messages

    @property
    def idle(self) -> bool:
        """Whether everything queued has been acknowledged."""
        return self._queue.empty and not self.board.outstanding

    # Sending --------------------------------------------------------------------------------

    def fill(self, datagrams: list[bytes], now: float, limit: int) -> None:
        """Append what may leave now, up to `limit` datagrams in the list."""
        board, partial = self.board, self._flight.partial
        if self._queue.empty and not board.lost and not partial.due:
            return
        if partial.due:
            self._repeater.send_forward_tsn(datagrams, now)
        if now - self._paced_until > CATCH_UP_S:
            self._flight.limited_by_application()  # by a machine that was busy elsewhere
        pacer = self.pacer
        if not board.outstanding:
            self._flows_from = now
            pacer.restart()
        pacer.set_rate(self.congestion.pacing_rate, self._round_trip.usual_s, self._share(now))
        before = len(datagrams)
        waiting_bytes = self._queue.total_bytes + board.lost_bytes
        budget = min(self._room(now), pacer.allowance(now, now - self._paced_until, waiting_bytes))
        if board.lost and budget > 0:
            small = self._timeouts_in_row > 0
            spent = self._repeater.send_lost(datagrams, now, limit, budget, small=small)
            self.pacer.spend(spent)
            budget -= spent
        wanted = board.lost_bytes > 0
        if not board.lost_bytes and not self._queue.empty:
            wanted = self._flight.peer_window > board.outstanding_bytes
            self._send_new(datagrams, now, limit, min(budget, self._room(now)))
        if len(datagrams) > before:
            self._arm(now)
        self._set_pacing(now, wanted)

    def _share(self, now: float) -> float:
        """Of whole bursts and of the time between asks; none while a short answer may be all."""
        flows_s = max(limits.FLOWS_ROUND_TRIPS * self._round_trip.usual_s, limits.FLOWS_S_MIN)
        return self.congestion.burst_share if now - self._flows_from >= flows_s else 0.0

    def _room(self, now: float) -> float:
        """Bytes that the congestion control lets into the path.

        Chunks that the peer has but had no room to report still count as in flight. Where they
        fill the window, retransmissions leave all the same: only these make the peer report more.
        """
        if self.board.lost_bytes and self._flight.is_overstated(now):
            return inf
        return self.congestion.window_bytes - self.board.flight_bytes

    def _send_new(self, datagrams: list[bytes], now: float, limit: int, budget: float) -> None:
        board = self.board
        free = min(budget, self._flight.peer_window - board.outstanding_bytes)
        room = limits.OUTSTANDING_MAX - board.outstanding
        if self._window_probe:
            self._window_probe = False
            free = room = 1
        if free <= 0 or room <= 0:
            return
        sent_bytes = self._fragmenter.send(datagrams, now, limit, free, room)
        self.pacer.spend(sent_bytes)
        if sent_bytes and (self._queue.empty or self._wants_sack(now, free <= sent_bytes)):
            self._fragmenter.ask_for_sack(datagrams)

    def _wants_sack(self, now: float, is_last_for_now: bool) -> bool:
        """Whether what leaves now should be acknowledged at once.

        A foreign peer acknowledges unasked, and may only hold back the last odd packet. Our own
        waits until it is asked, as the next burst would do too late.
        """
        if not self._own_peer:
            return is_last_for_now
        soon, interval_s = now + self.pacer.burst_s / 2, self._ask_interval_s(now)
        if soon < self._ask_at and self.congestion.patient:
            return False
        self._ask_at = min(max(self._ask_at, now - interval_s / 2), soon) + interval_s
        return True

    def _ask_interval_s(self, now: float) -> float:
        """Of so many whole bursts as fit into its share of the round trip."""
        burst_s = self.pacer.burst_s
        share_s = min(self._round_trip.usual_s / limits.SACKS_A_ROUND_TRIP, limits.SACK_DELAY_S)
        return max(self._share(now) * share_s // burst_s, 1.0) * burst_s if burst_s else 0.0

    def _arm(self, now: float) -> None:
        timers = self._timers
        if not timers.running(Timer.RETRANSMIT):
            timers.at[Timer.RETRANSMIT] = now + self._round_trip.rto_s
        if not (timers.running(Timer.PROBE) or self._tail_probed or self._timeouts_in_row):
            timers.at[Timer.PROBE] = now + self._probe_timeout_s()

    def _probe_timeout_s(self) -> float:
        return min(self._round_trip.probe_timeout_s, self._round_trip.rto_s)

    def _set_pacing(self, now: float, wanted: bool) -> None:
        """Wait for the next burst if only time is missing; probe a window that is shut (6.1 A)."""
        timers, board, queue = self._timers, self.board, self._queue
        window_left = self._room(now) > 0
        timers.stop(Timer.PACING)
        self._paced_until = inf
        if queue.empty and not board.lost_bytes:
            if window_left:
                self._flight.limited_by_application()
        elif wanted and window_left:
            waiting_bytes = queue.total_bytes + board.lost_bytes
            if self.pacer.exhausted(waiting_bytes):
                self._paced_until = self.pacer.next_burst_at(now, waiting_bytes)
                timers.at[Timer.PACING] = self._paced_until
        if not (queue.empty or board.outstanding or timers.running(Timer.RETRANSMIT)):
            timers.at[Timer.RETRANSMIT] = now + self._round_trip.rto_s

    # Hearing --------------------------------------------------------------------------------

    def on_sack(self, value: bytes, now: float) -> None:
        """Take a SACK; raises MalformedChunk, or ProtocolViolation for an unsent TSN."""
        wire, window_bytes, gap_offsets, duplicates = chunks.decode_sack(value)
        self._on_acknowledged(wire, window_bytes, gap_offsets, len(duplicates), now)

    def on_shutdown_tsn(self, wire: int, now: float) -> None:
        """Take the cumulative TSN that a SHUTDOWN carries."""
        self._on_acknowledged(wire, self._flight.peer_window, (), 0, now)

    def _on_acknowledged(
        self, wire: int, window_bytes: int, gap_offsets: tuple[int, ...], again: int, now: float
    ) -> None:
        again = again if self.repeated_chunks else 0
        heard = self._flight.acknowledge(wire, window_bytes, gap_offsets, again, now)
        if heard is None:
            return
        news, sample, moved = heard
        self._timeouts_in_row = 0
        self.silent_since = inf
        self._undo_timeout(news)
        self._consider_size(now)
        self.congestion.on_ack(sample)
        if moved:
            self._rearm(now)

    def _undo_timeout(self, news: AckNews) -> None:
        """An original that was marked lost has arrived, so the others may have as well."""
        if self._timed_out_until < 0:
            return
        if news.revived or news.early_repeats:
            self.board.find_again()
            self.congestion.on_timeout_undone()
            self._timed_out_until = -1
        elif self.board.cumulative >= self._timed_out_until:
            self._timed_out_until = -1

    def _consider_size(self, now: float) -> None:
        """Build packets that every path carries, if this one seems to swallow large ones."""
        core, large_packets = self._core, self.board.large_packets
        packet_bytes = core.config.packet_bytes
        if self._packet_bytes > packet_bytes and large_packets.are_swallowed:
            core.inbox.add(PathNarrowed(large_packets.has_arrived))
            core.set_packet_bytes(packet_bytes)
            self.set_packet_bytes(packet_bytes)
            self.board.lose_large()
            large_packets.forget(now)

    def _rearm(self, now: float) -> None:
        timers, board = self._timers, self.board
        if self._flight.peer_window:
            self._round_trip.reset_backoff()
        self._tail_probed = False
        timers.stop(Timer.RETRANSMIT)
        timers.stop(Timer.PROBE)
        from_s = max(now, self._flight.away_until) if board.away_bytes else now
        if board.outstanding:
            timers.at[Timer.RETRANSMIT] = from_s + self._round_trip.rto_s
        if board.flight_bytes or board.away_bytes:
            timers.at[Timer.PROBE] = from_s + self._probe_timeout_s()

    # Timers ---------------------------------------------------------------------------------

    def on_reorder_timer(self, now: float) -> None:
        """A packet that might have been late is lost."""
        lost_bytes = self._flight.look_for_losses(now)
        if lost_bytes:
            self._consider_size(now)
            self.congestion.on_ack(self._flight.sample_of_losses(lost_bytes, now))

    def on_probe_timer(self, now: float) -> None:
        """Nothing was acknowledged for some round trips: probe the tail."""
        tsn = self.board.last_in_flight()
        if tsn is None or self._tail_probed:
            return
        self._tail_probed = True
        self.tail_probes += 1
        self.silent_since = min(self.silent_since, now)
        self._repeater.send_tail(tsn, now)
        self._timers.at[Timer.RETRANSMIT] = now + self._round_trip.rto_s

    def on_path_changed(self, now: float, round_trip_s: float | None) -> None:
        """Packets take another path: see Association.path_changed."""
        was_silent = self._tail_probed or self._timeouts_in_row > 0
        self._flight.change_path(now)
        if round_trip_s is not None:
            round_trip_s = max(round_trip_s, ROUND_TRIP_S_MIN)
        self._round_trip.begin(round_trip_s)
        self.congestion = self.congestion.for_new_path(now, round_trip_s)
        self.pacer = Pacer()
        self.set_packet_bytes(self._packet_bytes)
        self._timed_out_until, self._ask_at, self._flows_from = -1, -inf, now
        self._timeouts_in_row = 0  # what was silent is the path before, and not the peer
        self.silent_since = inf
        if was_silent:
            self._lose_all(now)
        else:
            self._rearm(now)

    def on_retransmit_timer(self, now: float) -> bool:
        """Nothing was acknowledged for a timeout. False: the peer has been silent for too long."""
        self._round_trip.back_off()
        if self._lose_all(now) and self._flight.peer_window:
            # Originals that a SACK had no room for are no sign that the timeout was spurious.
            board = self.board
            self._timed_out_until = -1 if board.may_be_cut else board.next_tsn - 1
            self.congestion.on_timeout()
        return self._timeouts_in_row <= limits.RETRANSMITS_MAX

    def _lose_all(self, now: float) -> bool:
        """Repeat all that is in flight; False: nothing is."""
        board, timers = self.board, self._timers
        self._tail_probed = False
        timers.stop(Timer.PROBE)
        if not board.outstanding:
            self._window_probe = not self._queue.empty
            if self._window_probe:
                timers.at[Timer.RETRANSMIT] = now + self._round_trip.rto_s
            return False
        timers.at[Timer.RETRANSMIT] = now + self._round_trip.rto_s
        timers.stop(Timer.REORDER)
        self.timeouts += 1
        self._timeouts_in_row += 1
        self.silent_since = min(self.silent_since, now)
        board.lose_all()
        if self._forward_tsn:
            self._flight.partial.on_sack(board)
        return True
