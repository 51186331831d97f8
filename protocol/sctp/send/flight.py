"""What is in flight, and what the peer's acknowledgements say about the path.

Losses are found by time (RACK, RFC 8985): a packet is lost when one that left later has arrived and
a round trip and a reordering window have passed. That window grows with the reordering seen.
"""

from math import inf

from protocol.sctp.core import Core
from protocol.sctp.errors import ProtocolViolation
from protocol.sctp.send.congestion import AckSample
from protocol.sctp.send.departure import AckNews, Departure
from protocol.sctp.send.partial import PartialReliability
from protocol.sctp.send.rtt import ROUND_TRIP_S_MIN
from protocol.sctp.send.scoreboard import Scoreboard
from protocol.sctp.serial import TSN_HALF, TSN_MASK
from protocol.sctp.timers import Timer

_REORDER_SHARE = 0.25
_REORDER_MIN_S = 0.001
_REORDER_MARGIN = 1.2
_REORDER_MEMORY_S = 10.0
_PATIENCE_MIN_S = 0.01
_RATE_INTERVAL_SHARE = 0.5


class Flight:
    """The scoreboard and the measurements made with it.

    `delivered_bytes` counts what the peer has acknowledged so far, `_here_bytes` what has
    come by the present path: what another brings says nothing of its rate and round trip.
    """

    def __init__(
        self, core: Core, first_tsn: int, peer_window_bytes: int, forward_tsn: bool
    ) -> None:
        self._timers = core.timers
        self._round_trip = core.round_trip
        self._forward_tsn = forward_tsn
        self.board = Scoreboard(first_tsn)
        self.partial = PartialReliability()
        self.peer_window = peer_window_bytes
        self.delivered_bytes = 0
        self.away_until = -inf
        """Until then a path before the present one may deliver."""
        self._here_bytes = 0
        self._delivered_at = 0.0
        self._measured_from = 0.0
        self._app_limited_until = -1
        self._newest_at = -inf
        self._late_by_s = 0.0
        self._late_at = -inf
        self._wait_s = inf

    def change_path(self, now: float) -> None:
        """What leaves from now on takes another path."""
        wait_s = min(self._wait_s, self._round_trip.rto_s)
        self.board.change_path(wait_s)
        self.board.large_packets.forget(now)
        self.away_until = now + wait_s if self.board.away_bytes else -inf
        self._app_limited_until = -1
        self._late_by_s, self._late_at = 0.0, -inf

    def departure(self, now: float, *, repeated: bool) -> Departure:
        """Return what to remember of packets that leave now."""
        if not self.board.flight_bytes:
            self._measured_from = self._delivered_at = now
        return Departure(
            now,
            self._here_bytes,
            self._delivered_at,
            self._measured_from,
            self._here_bytes <= self._app_limited_until,
            repeated,
            self.board.path,
        )

    def limited_by_application(self) -> None:
        """Less was queued than could be sent: what is in flight says little about the path."""
        self._app_limited_until = self._here_bytes + self.board.flight_bytes

    def acknowledge(
        self, wire: int, window_bytes: int, gap_offsets: tuple[int, ...], again: int, now: float
    ) -> tuple[AckNews, AckSample, bool] | None:
        """Take what a SACK says (`again`: duplicates it reports).

        Returns what changed, a sample for the congestion control and whether anything moved; None
        for a SACK that a newer one has overtaken. Raises ProtocolViolation for an unsent TSN.
        """
        board, round_trip = self.board, self._round_trip
        ahead = (wire - board.cumulative) & TSN_MASK
        if ahead >= TSN_HALF:
            return None
        if ahead > board.outstanding:
            raise ProtocolViolation("The peer acknowledges a TSN that was never sent.")
        self.peer_window = window_bytes
        first = board.cumulative + 1
        cumulative = board.cumulative + ahead
        # Without a round trip an answer to what was repeated cannot be told to be too early.
        min_rtt_s = 0.0 if round_trip.smoothed_s is None else round_trip.min_s
        news = board.acknowledge(cumulative, gap_offsets, now, min_rtt_s)
        if self._forward_tsn:
            self.partial.settled(first, cumulative)
            self.partial.on_sack(board)
        rtt_s = self._take_rtt(news, again, now)
        self.delivered_bytes += news.acked_bytes
        here_bytes = news.acked_bytes - news.away_bytes
        self._here_bytes += here_bytes
        if here_bytes:
            self._delivered_at = now
        sample = self._sample(news, self.look_for_losses(now), rtt_s, now)
        if sample.prior_delivered >= 0 and news.newest is not None:
            self._measured_from = news.newest.at
        return news, sample, bool(news.acked_bytes or ahead)

    def _take_rtt(self, news: AckNews, again: int, now: float) -> float | None:
        round_trip, newest = self._round_trip, news.newest
        rtt_s = None
        if newest is not None:
            self._newest_at = max(self._newest_at, newest.at)
            if not newest.repeated and newest.path == self.board.path:
                rtt_s = max(now - newest.at, ROUND_TRIP_S_MIN)
                round_trip.on_sample(rtt_s)
        late_by_s = news.late_by_s - round_trip.latest_s
        if news.early_repeats or again:
            late_by_s = max(late_by_s, self._late_by_s + _REORDER_SHARE * round_trip.min_s)
        if late_by_s > self._late_by_s or now - self._late_at > _REORDER_MEMORY_S:
            self._late_by_s = max(late_by_s, self._late_by_s / 2)
            self._late_at = now
        return rtt_s

    def look_for_losses(self, now: float) -> int:
        """Mark what is lost by now, set the timer for what may be soon; return the lost bytes."""
        round_trip = self._round_trip
        smoothed_s = round_trip.smoothed_s
        if smoothed_s is None:
            return 0
        patience_s = max(
            _REORDER_SHARE * round_trip.min_s, _REORDER_MARGIN * self._late_by_s, _REORDER_MIN_S
        )
        patience_s = min(patience_s, max(smoothed_s, _PATIENCE_MIN_S))
        self._wait_s = max(round_trip.latest_s, smoothed_s) + patience_s
        lost_bytes, again_at = self.board.find_losses(now, self._newest_at, self._wait_s)
        self._timers.at[Timer.REORDER] = again_at
        return lost_bytes

    def is_overstated(self, now: float) -> bool:
        """Whether much of what counts as in flight is not, because the peer cannot report it."""
        return self.board.hides(now - self._wait_s)

    def sample_of_losses(self, lost_bytes: int, now: float) -> AckSample:
        """Return a sample for losses that time alone has shown."""
        return self._sample(AckNews(), lost_bytes, None, now)

    def _sample(self, news: AckNews, lost_bytes: int, rtt_s: float | None, now: float) -> AckSample:
        newest = news.newest
        rate, prior, app_limited = 0.0, -1, False
        if newest is not None and newest.path == self.board.path:
            prior, app_limited = newest.delivered, newest.app_limited
            interval_s = max(newest.at - newest.measured_from, now - newest.delivered_at)
            if interval_s > 0 and interval_s >= _RATE_INTERVAL_SHARE * self._round_trip.min_s:
                rate = (self._here_bytes - prior) / interval_s
        return AckSample(
            now,
            self._here_bytes,
            prior,
            news.acked_bytes - news.away_bytes,
            lost_bytes,
            self.board.flight_bytes,
            rate,
            rtt_s,
            app_limited,
        )
