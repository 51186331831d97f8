"""What is kept of packets that left together, and what their acknowledgement says of the path."""


class Departure:
    """Packets that left at one moment, by the path of a number, with what rates are made of.

    `delivered` bytes had been acknowledged then, the last of them at `delivered_at`, and the packet
    that they were measured by had left at `measured_from`.
    """

    __slots__ = (
        "app_limited",
        "at",
        "delivered",
        "delivered_at",
        "measured_from",
        "path",
        "repeated",
    )

    def __init__(
        self,
        at: float,
        delivered: int,
        delivered_at: float,
        measured_from: float,
        app_limited: bool,
        repeated: bool,
        path: int,
    ) -> None:
        self.at = at
        self.delivered = delivered
        self.delivered_at = delivered_at
        self.measured_from = measured_from
        self.app_limited = app_limited
        self.repeated = repeated
        self.path = path


class AckNews:
    """What one SACK changed."""

    __slots__ = ("acked_bytes", "away_bytes", "early_repeats", "late_by_s", "newest", "revived")

    def __init__(self) -> None:
        self.acked_bytes = 0
        self.away_bytes = 0
        """Of these, what had left by a path before the present one."""
        self.newest: Departure | None = None
        """The latest departure among what arrived."""
        self.late_by_s = 0.0
        """Longest travel of a packet that others had overtaken: reordering."""
        self.early_repeats = 0
        """Retransmissions that were not needed."""
        self.revived = 0
        """Packets marked lost whose originals arrived."""
