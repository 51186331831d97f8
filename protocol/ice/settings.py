"""Times of one agent, which tests and simulations may shorten."""

from dataclasses import dataclass, replace

from protocol import limits

_PATIENT_ROUND_TRIPS = 3


@dataclass(frozen=True, slots=True)
class IceSettings:
    """Times are seconds; see RFC 8445, 14, for the first three."""

    pacing_s: float = 0.005
    """Ta: the time between two new checks. RFC 8445, B.1, has 5 ms for the least."""

    rto_s: float = 0.5
    """The first wait for an answer, doubled with each repetition."""

    rto_min_s: float = 0.1
    """The least first wait, where a measured round trip makes it shorter than `rto_s`."""

    transmissions: int = limits.ICE_CHECKS_UNPROVED
    """How often one check is sent."""

    transmissions_in_lan: int = 2
    """The same for addresses of local networks. They are near, or, as nearly always, in another
    LAN: then each check more is missing for addresses that may answer."""

    last_wait_s: float = 2.0
    """The longest wait after the last of them."""

    patience_s: float = 8.0
    """How long an agent without any pair left waits for the peer's checks (RFC 8863)."""

    relay_delay_s: float = 0.4
    relay_delay_round_trips: float = 3.0
    """How long a relayed pair that works waits for a direct one: the longer of the two, from the
    first check, in seconds and in round trips of the relayed pair. A hole is punched in one round
    trip of the direct path, which is hardly ever longer."""

    consent_interval_s: float = 8.0
    consent_failures: int = 2
    consent_transmissions: int = 3
    """So many consent checks in a row without an answer mean a vanished peer (RFC 7675, 5.1). Each
    is sent up to three times within 3.5 s, so that a slow path is not taken for a dead one. Where
    checks that data asked for fail sooner, the peer is not lost before the usual ones could."""

    consent_phase_s: float = 0.0
    """A time at which a slot for consent checks ends: one for all agents of a node, whose checks
    then leave together, and another for each node."""

    moved_wait_s: float = 0.1
    """The least wait for an answer from the selected address, once checks of the peer have come
    from a new one, or data are not acknowledged: a mapping may have changed."""

    def on_line(self, extra_s: float) -> "IceSettings":
        """The same for an agent of a node on whose line each round trip takes so much longer."""
        if not extra_s:
            return self
        return replace(
            self,
            rto_s=self.rto_s + extra_s,
            last_wait_s=self.last_wait_s + extra_s,
            patience_s=self.patience_s + _PATIENT_ROUND_TRIPS * extra_s,
        )

    @property
    def consent_patience_s(self) -> float:
        """How long a consent check waits for its answer, with its repetitions."""
        waits = [self.rto_s * (1 << number) for number in range(self.consent_transmissions)]
        return sum(waits[:-1]) + min(waits[-1], self.last_wait_s)
