"""What the sender asks of a congestion control, and the simplest one.

Rates are bytes per second, sizes bytes of DATA chunks, times seconds.
"""

from dataclasses import dataclass
from math import inf
from typing import Protocol


@dataclass(slots=True)
class AckSample:
    """What one SACK says about the path.

    `delivered` counts all bytes acknowledged so far, `prior_delivered` those when the newest packet
    acknowledged now had left, so that both delimit a round trip. `rate` is the
    delivery rate over it (0 when unknown), `rtt_s` None when no packet was fit for a sample.
    """

    now: float
    delivered: int
    prior_delivered: int
    acked_bytes: int
    lost_bytes: int
    flight_bytes: int
    rate: float
    rtt_s: float | None
    app_limited: bool


class CongestionControl(Protocol):
    """What the sender asks of a congestion control."""

    window_bytes: int
    """Most bytes in flight."""
    pacing_rate: float
    """Bytes per second; infinite for none."""
    burst_share: float
    """Of the largest burst, and of the time between two asks for SACKs: what the path bears."""
    patient: bool
    """Whether some acknowledgements in a round trip will do, not one for each burst."""

    def on_ack(self, sample: AckSample) -> None:
        """Take the news of one SACK."""
        ...

    def on_timeout(self) -> None:
        """Nothing was heard for a whole retransmission timeout."""
        ...

    def on_timeout_undone(self) -> None:
        """The timeout was spurious: the originals have arrived."""
        ...

    def set_packet_bytes(self, packet_bytes: int) -> None:
        """The path carries packets of another size."""
        ...

    def for_new_path(self, now: float, round_trip_s: float | None) -> "CongestionControl":
        """The control of the path that replaces this one's; None: no round trip is known."""
        ...


class FixedWindow:
    """No control at all, for tests and for paths that another layer polices."""

    def __init__(self, window_bytes: int, pacing_rate: float = inf) -> None:
        self.window_bytes = window_bytes
        self.pacing_rate = pacing_rate
        self.patient = False
        self.burst_share = 0.0

    def on_ack(self, sample: AckSample) -> None:
        """Change nothing."""

    def on_timeout(self) -> None:
        """Change nothing."""

    def on_timeout_undone(self) -> None:
        """Change nothing."""

    def set_packet_bytes(self, packet_bytes: int) -> None:
        """Change nothing."""

    def for_new_path(self, now: float, round_trip_s: float | None) -> CongestionControl:
        """The same: another layer polices the path."""
        return self
