"""How far apart the sites of the internet are: a table of one-way times, made up or measured.

Every model ends as the same table, so that a packet costs one look-up whatever the model. The table
grows with the number of sites, not of hosts: hosts share sites, as machines in one city do.

The published shape that the synthetic model meets is PlanetLab's (Zhu, Liu, Niu, Li, Zhao,
IEEE/ACM ToN 25, 2017): `PLANETLAB_RTT_MS`. In it a one-hop detour beats the direct path for 5.7 %
of (pair, relay) choices: routing does not obey the triangle inequality.
"""

import bisect
import math
import random
import sys
from array import array
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Final

from node.machine.refusals import reason_of
from simulations.errors import BadLatencyFile
from simulations.seeds import derive_rng

SITES: Final = 512
"""Sites of the synthetic model: as many as a measured set has, and 2 MB of table."""
MATRIX_SITES_MAX: Final = 4096
RTT_MAX_MS: Final = 60_000.0
SAME_SITE_PERCENTILE: Final = 1.0

PLANETLAB_RTT_MS: Final = {
    1: 5.8,
    10: 30.9,
    25: 59.1,
    50: 133.9,
    75: 203.2,
    90: 290.8,
    99: 403.9,
}
_SHARES: Final = (0.0, *(percentile / 100 for percentile in PLANETLAB_RTT_MS), 1.0)
_TIMES_MS: Final = (0.3, *PLANETLAB_RTT_MS.values(), 700.0)

_REGION_SHARES: Final = (0.40, 0.33, 0.17, 0.05, 0.05)
"""North America, Europe, East Asia, South America, Oceania, by where measured hosts stand."""
_BACKBONE_MS: Final = (
    (0.0, 95.0, 150.0, 140.0, 170.0),
    (95.0, 0.0, 215.0, 200.0, 260.0),
    (150.0, 215.0, 0.0, 290.0, 130.0),
    (140.0, 200.0, 290.0, 0.0, 300.0),
    (170.0, 260.0, 130.0, 300.0, 0.0),
)
_ACCESS_SCALE_MS: Final = 7.5
_DETOUR_SPREAD: Final = 0.012

_MODELS_KEPT: Final = 8
"""Made-up models that a process keeps, of 2 MB each: to make one costs as much as a small world."""


class Latency:
    """Round-trip times between `sites` sites, symmetric; one way is half of the round trip.

    `rows[a][b]` is the one-way time in seconds, for the path of every packet; `rows[a][a]` is that
    between two hosts of one site.
    """

    def __init__(self, rows: Sequence[Sequence[float]]) -> None:
        self.rows = rows
        self.sites = len(rows)

    def rtt_s(self, a: int, b: int) -> float:
        """Round-trip seconds between two sites."""
        return 2 * self.rows[a][b]


class UniformLatency(Latency):
    """Every pair of hosts is `rtt_s` apart."""

    def __init__(self, rtt_s: float) -> None:
        if not 0 <= rtt_s < math.inf:
            raise ValueError("a round trip takes a finite time that is not negative")
        super().__init__([[rtt_s / 2]])


def _rows(triangle_ms: Sequence[float], sites: int) -> list["array[float]"]:
    """From a strictly lower triangle of round-trip milliseconds: row i has columns 0..i-1."""
    ordered = sorted(triangle_ms)
    same_site_ms = ordered[int(len(ordered) * SAME_SITE_PERCENTILE / 100)]
    rows = [array("d", bytes(8 * sites)) for _ in range(sites)]
    values = iter(triangle_ms)
    for a, row in enumerate(rows):
        for b in range(a):
            row[b] = rows[b][a] = next(values) / 2000
        row[a] = same_site_ms / 2000
    return rows


class SyntheticLatency(Latency):
    """A made-up internet of `sites` sites whose round-trip percentiles are PlanetLab's.

    Sites stand in five regions behind access lines of different length, and each pair's route takes
    its own detour. That orders the pairs; the times are then PlanetLab's quantiles at the
    pair's rank, so the percentiles hold for every seed. With fewer hosts than `SITES` pass their
    number as `sites`, since a part of the sites has percentiles of its own.
    """

    def __init__(self, seed: int | str, sites: int = SITES) -> None:
        if not 2 <= sites <= MATRIX_SITES_MAX:
            raise ValueError(f"a latency model has 2 to {MATRIX_SITES_MAX} sites")
        super().__init__(_synthetic_rows(seed, sites))


@lru_cache(maxsize=_MODELS_KEPT)
def _synthetic_rows(seed: int | str, sites: int) -> list["array[float]"]:
    distances = _distances(derive_rng(seed, "latency"), sites)
    order = sorted(range(len(distances)), key=distances.__getitem__)
    times_ms = array("d", bytes(8 * len(order)))
    for rank, pair in enumerate(order):
        times_ms[pair] = _planetlab_quantile_ms((rank + 0.5) / len(order))
    return _rows(times_ms, sites)


class MatrixLatency(Latency):
    """A measured matrix: little-endian float32 milliseconds, strictly lower triangle, row by row.

    Raises BadLatencyFile for a file that is missing, of an impossible size, or holds a value that
    is not a time.
    """

    def __init__(self, path: Path | str) -> None:
        try:
            size = Path(path).stat().st_size
            if size > 2 * MATRIX_SITES_MAX * (MATRIX_SITES_MAX - 1):
                raise BadLatencyFile(f"{path} holds more than {MATRIX_SITES_MAX} sites")
            raw = Path(path).read_bytes()
        except OSError as failure:
            raise BadLatencyFile(f"cannot read {path}: {reason_of(failure)}") from failure
        sites = (1 + math.isqrt(1 + 8 * (len(raw) // 4))) // 2
        if sites < 2 or 2 * sites * (sites - 1) != len(raw):
            raise BadLatencyFile(f"{path} has {len(raw)} bytes, which no triangle of float32 has")
        times_ms = array("f", raw)
        if sys.byteorder == "big":
            times_ms.byteswap()
        for position, time_ms in enumerate(times_ms):
            if not 0 <= time_ms <= RTT_MAX_MS:
                raise BadLatencyFile(f"{path}: value {position} is {time_ms} ms, which is no time")
        super().__init__(_rows(times_ms, sites))


def _distances(rng: random.Random, sites: int) -> list[float]:
    """Made-up milliseconds of every pair, row by row of the triangle; only their order counts."""
    regions = rng.choices(range(len(_REGION_SHARES)), _REGION_SHARES, k=sites)
    normal = NormalDist()
    access = [_ACCESS_SCALE_MS * normal.inv_cdf(0.5 + rng.random() / 2) ** 2 for _ in regions]
    distances = []
    for a in range(sites):
        backbone, access_a = _BACKBONE_MS[regions[a]], access[a]
        for b in range(a):
            direct = backbone[regions[b]] + access_a + access[b]
            distances.append(direct * math.exp(rng.gauss(0.0, _DETOUR_SPREAD)))
    return distances


def _planetlab_quantile_ms(share: float) -> float:
    """The time below which a `share` (under 1) of PlanetLab's pairs lie; linear between points."""
    upper = bisect.bisect_right(_SHARES, share)
    low, high = _SHARES[upper - 1], _SHARES[upper]
    part = (share - low) / (high - low)
    return _TIMES_MS[upper - 1] + part * (_TIMES_MS[upper] - _TIMES_MS[upper - 1])


def rtt_percentiles_ms(latency: Latency, percentiles: Sequence[float]) -> list[float]:
    """Percentiles of the round trip over all pairs of different sites, in milliseconds."""
    times = sorted(2000 * latency.rows[a][b] for a in range(latency.sites) for b in range(a))
    if not times:
        raise ValueError("one site has no pairs")
    return [times[min(int(len(times) * p / 100), len(times) - 1)] for p in percentiles]


def triangle_violations(latency: Latency, samples: int, rng: random.Random) -> float:
    """Share of random (pair, relay) choices in which the detour by the relay is shorter."""
    rows, sites = latency.rows, range(latency.sites)
    shorter = 0
    for _ in range(samples):
        a, b, relay = rng.sample(sites, 3)
        shorter += rows[a][relay] + rows[relay][b] < rows[a][b]
    return shorter / samples
