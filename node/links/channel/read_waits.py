"""How long what comes next on a link may wait to be read with more.

Data that flow are read as often as their sender asks for SACKs, and the SACKs of what we send are
met with those of other links. Answers, handshakes and single messages wait for nothing.
"""

from collections.abc import Callable
from math import inf
from typing import Final

from node.net.udp.beat import HOLD_MIN_S
from protocol.sctp.association import Association
from protocol.sctp.limits import FLOWS_ROUND_TRIPS, FLOWS_S_MIN

_PAUSE_ROUND_TRIPS: Final = 0.75
"""Between one answer and the next there is a round trip; what flows makes no such pause."""

_HOLDS_A_ROUND_TRIP: Final = 4
_HOLD_UNASKED_S: Final = 0.005
"""Where the peer does not ask for SACKs, packets wait for so much of the shortest round trip. Where
that is too short for anything to wait, each packet counts."""

_HOLDS_A_ROUND_TRIP_SENDING: Final = 8
"""SACKs wait for others for less: their times are what a sender knows of its path."""

_LOOKED_UP_EVERY_S: Final = 0.1


class ReadWaits:
    """The waits of one link's packets, in seconds; 0: none.

    `path_round_trip_s` gives the round trip as ICE measured it, or None.
    """

    def __init__(
        self,
        association: Association,
        path_round_trip_s: Callable[[], float | None],
        *,
        own_peer: bool,
    ) -> None:
        self._association = association
        self._path_round_trip_s = path_round_trip_s
        self._own_peer = own_peer
        self._flows_from = inf
        self._pauses_at = -inf
        self._looked_up_at = -inf
        self._known_round_trip_s = 0.0

    def after_data(self, now: float) -> float:
        """Of the data that come after these."""
        if now > self._pauses_at:
            self._flows_from = now
        wait_s = self._data_wait_s(now) if self._flows(self._flows_from, now) else 0.0
        self._pauses_at = now + wait_s + _PAUSE_ROUND_TRIPS * self._shortest_round_trip_s(now)
        return wait_s

    def after_sack(self, now: float, sending_from: float) -> float | None:
        """Of the SACK that comes after this one; None: it matters to nothing else that waits.

        We have sent without a pause since `sending_from`.
        """
        if not self._flows(sending_from, now):
            return None
        return (self._association.round_trip_s or 0.0) / _HOLDS_A_ROUND_TRIP_SENDING

    def _flows(self, since: float, now: float) -> bool:
        round_trips_s = FLOWS_ROUND_TRIPS * self._shortest_round_trip_s(now)
        return now - since >= max(round_trips_s, FLOWS_S_MIN)

    def _data_wait_s(self, now: float) -> float:
        longest_s = self._shortest_round_trip_s(now) / _HOLDS_A_ROUND_TRIP
        if longest_s < HOLD_MIN_S:
            return 0.0
        receiver = self._association.receiver
        if receiver is None or receiver.asks.wait_s is None:
            # Our own SACKs wait for an ask as long as they may: from when packets have been read.
            return 0.0 if self._own_peer else min(longest_s, _HOLD_UNASKED_S)
        return max(receiver.asks.wait_s, HOLD_MIN_S)

    def _shortest_round_trip_s(self, now: float) -> float:
        """The round trip without a queue of ours, looked up now and then; 0: not known."""
        if now - self._looked_up_at > _LOOKED_UP_EVERY_S:
            known = (self._association.round_trip_s, self._path_round_trip_s())
            self._known_round_trip_s = min((one for one in known if one is not None), default=0.0)
            self._looked_up_at = now
        return self._known_round_trip_s
