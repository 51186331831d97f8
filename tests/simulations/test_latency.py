"""Latency models: PlanetLab's shape from any seed, and measured matrices read with suspicion."""

import math
import random
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.errors import BadLatencyFile
from simulations.internet import (
    PLANETLAB_RTT_MS,
    Internet,
    MatrixLatency,
    SyntheticLatency,
    UniformLatency,
    rtt_percentiles_ms,
    triangle_violations,
)
from simulations.internet.latency import MATRIX_SITES_MAX
from simulations.runtime.loop import VirtualLoop


@pytest.mark.parametrize("sites", [200, 512, 1000])
@pytest.mark.parametrize("seed", [1, "another"])
def test_the_synthetic_model_has_planetlabs_percentiles(seed: int | str, sites: int) -> None:
    model = SyntheticLatency(seed, sites)
    found = rtt_percentiles_ms(model, list(PLANETLAB_RTT_MS))
    assert found == pytest.approx(list(PLANETLAB_RTT_MS.values()), rel=0.02)


@pytest.mark.parametrize("hosts", [200, 1000])
def test_hosts_see_planetlabs_percentiles(hosts: int) -> None:
    loop = VirtualLoop()
    model = SyntheticLatency(5, min(hosts, 512))
    internet = Internet(loop, 5, model)
    sites = [internet.add_host().site for _ in range(hosts)]
    times = sorted(1000 * model.rtt_s(a, b) for index, a in enumerate(sites) for b in sites[:index])
    found = [times[int(len(times) * percentile / 100)] for percentile in PLANETLAB_RTT_MS]
    assert found == pytest.approx(list(PLANETLAB_RTT_MS.values()), rel=0.10)
    loop.close()


def test_the_synthetic_model_violates_triangles_about_as_often() -> None:
    shares = [
        triangle_violations(SyntheticLatency(seed), 20_000, random.Random(seed))
        for seed in range(3)
    ]
    assert all(0.03 < share < 0.09 for share in shares)  # PlanetLab: 0.057


def test_the_synthetic_model_is_symmetric_and_its_seeds_own() -> None:
    model, same, other = (SyntheticLatency(seed, 60) for seed in (1, 1, 2))
    pairs = [(a, b) for a in range(60) for b in range(60)]
    assert all(model.rtt_s(a, b) == model.rtt_s(b, a) > 0 for a, b in pairs)
    assert [model.rtt_s(*pair) for pair in pairs] == [same.rtt_s(*pair) for pair in pairs]
    assert [model.rtt_s(*pair) for pair in pairs] != [other.rtt_s(*pair) for pair in pairs]


@pytest.mark.parametrize("sites", [1, MATRIX_SITES_MAX + 1])
def test_a_model_has_a_sane_number_of_sites(sites: int) -> None:
    with pytest.raises(ValueError, match="sites"):
        SyntheticLatency(1, sites)


@pytest.mark.parametrize("rtt_s", [-1.0, math.inf, math.nan])
def test_a_uniform_round_trip_is_a_time(rtt_s: float) -> None:
    assert UniformLatency(0.1).rtt_s(0, 0) == 0.1
    with pytest.raises(ValueError, match="finite"):
        UniformLatency(rtt_s)


def write_matrix(folder: Path, values: list[float], tail: bytes = b"") -> Path:
    path = folder / "matrix.bin"
    path.write_bytes(struct.pack(f"<{len(values)}f", *values) + tail)
    return path


def test_a_matrix_is_read_row_by_row(tmp_path: Path) -> None:
    matrix = MatrixLatency(write_matrix(tmp_path, [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]))
    assert matrix.sites == 4
    times = {(1, 0): 10.0, (2, 0): 20.0, (2, 1): 30.0, (3, 0): 40.0, (3, 1): 50.0, (3, 2): 60.0}
    for (a, b), time_ms in times.items():
        assert matrix.rtt_s(a, b) == matrix.rtt_s(b, a) == pytest.approx(time_ms / 1000)
    assert matrix.rtt_s(2, 2) == pytest.approx(0.010)


@given(st.integers(2, 12), st.randoms(use_true_random=False))
def test_any_matrix_comes_back(sites: int, rng: random.Random) -> None:
    values = [rng.uniform(0, 500) for _ in range(sites * (sites - 1) // 2)]
    with tempfile.TemporaryDirectory() as folder:
        matrix = MatrixLatency(write_matrix(Path(folder), values))
    back = [2000 * matrix.rows[a][b] for a in range(sites) for b in range(a)]
    assert back == pytest.approx(values, rel=1e-5)


@pytest.mark.parametrize(
    ("values", "tail"),
    [
        ([], b""),
        ([1.0, 2.0], b""),
        ([1.0, 2.0, 3.0], b"\0"),
        ([1.0, -2.0, 3.0], b""),
        ([1.0, math.nan, 3.0], b""),
        ([1.0, math.inf, 3.0], b""),
        ([1.0, 1e9, 3.0], b""),
    ],
)
def test_what_is_no_matrix_is_refused(tmp_path: Path, values: list[float], tail: bytes) -> None:
    path = write_matrix(tmp_path, values, tail)
    with pytest.raises(BadLatencyFile, match=r"matrix\.bin"):
        MatrixLatency(path)


def test_a_missing_or_giant_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadLatencyFile, match="cannot read"):
        MatrixLatency(tmp_path / "nothing")
    giant = tmp_path / "giant"
    with giant.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BadLatencyFile, match="more than"):
        MatrixLatency(giant)


def test_sites_are_given_to_hosts_by_the_seed_and_evenly() -> None:
    def sites(seed: int) -> list[int]:
        loop = VirtualLoop()
        internet = Internet(loop, seed, SyntheticLatency(1, 50))
        found = [internet.add_host().site for _ in range(100)]
        loop.close()
        return found

    assert sites(1) == sites(1) != sites(2)
    assert sorted(sites(1)) == sorted(2 * list(range(50)))
