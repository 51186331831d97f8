"""What an offer or answer says of its sender's router: the kind, and the last port that it gave.

    nat  [mapping, filtering, ports preserved?, port step, port, its age in ms, rate]

The list is empty where nothing is known. `port` is the external port of the newest mapping that the
sender has seen, or 0; `rate` is how many mappings a minute the router makes for others meanwhile.
"""

from dataclasses import dataclass, replace
from typing import Any

from protocol import limits
from protocol.codec import ranged, shape
from protocol.errors import Malformed
from protocol.reachability.network_view import (
    FamilyView,
    FilteringKind,
    MappingKind,
    NatKind,
    Verdict,
)

_UNKNOWN_KIND = NatKind()
_FIELDS = (int, int, bool, int, int, int, int)
_STEP_MAX = 256
_RATE_MAX = int(60 * limits.PORT_RATE_MAX)
_AGE_MS_MAX = int(1000 * limits.PORT_SAMPLE_AGE_S)


@dataclass(frozen=True, slots=True)
class NatReport:
    """A router's kind and a sample of its ports; raises Malformed for numbers out of range.

    `sample_port` is 0 where there is no sample; `sample_age_ms` counts to the moment at which the
    description was made. `rate_per_min`: mappings that the router makes for others.
    """

    kind: NatKind = _UNKNOWN_KIND
    sample_port: int = 0
    sample_age_ms: int = 0
    rate_per_min: int = 0

    def __post_init__(self) -> None:
        ranged(self.kind.port_step, -_STEP_MAX, _STEP_MAX)
        ranged(self.sample_port, 0, limits.PORT_MAX)
        ranged(self.sample_age_ms, 0, _AGE_MS_MAX)
        ranged(self.rate_per_min, 0, _RATE_MAX)

    @classmethod
    def of(cls, view: FamilyView, now: float) -> "NatReport":
        """What a node says of its router, by what it knows of one family at `now`."""
        kind = view.nat
        if view.verdict is Verdict.PUBLIC:
            kind = replace(kind, filtering=FilteringKind.ENDPOINT_INDEPENDENT)
        kind = replace(kind, port_step=max(-_STEP_MAX, min(kind.port_step, _STEP_MAX)))
        sample = view.last_sample
        if sample is None or now - sample.at > limits.PORT_SAMPLE_AGE_S:
            return cls(kind)
        age_ms = max(0, round(1000 * (now - sample.at)))
        return cls(kind, sample.port, age_ms, min(round(60 * sample.rate), _RATE_MAX))

    def fields(self) -> list[Any]:
        """The list for the wire."""
        if self == UNKNOWN_NAT:
            return []
        kind = self.kind
        return [
            int(kind.mapping),
            int(kind.filtering),
            kind.port_preserved,
            kind.port_step,
            self.sample_port,
            self.sample_age_ms,
            self.rate_per_min,
        ]

    @classmethod
    def from_fields(cls, value: list[Any]) -> "NatReport":
        """The report that `fields` spelled; raises Malformed."""
        if not value:
            return UNKNOWN_NAT
        mapping, filtering, preserved, step, port, age_ms, rate = shape(value, *_FIELDS)
        kind = NatKind(
            MappingKind(ranged(mapping, 0, max(MappingKind))),
            FilteringKind(ranged(filtering, 0, max(FilteringKind))),
            preserved,
            step,
        )
        report = cls(kind, port, age_ms, rate)
        if report == UNKNOWN_NAT:
            raise Malformed("a report of a router of which nothing is known")
        return report


UNKNOWN_NAT = NatReport()
