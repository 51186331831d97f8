"""Chunks: bounded, complete, independent of how the bytes arrive, unmoved by distant edits."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.content.chunking import COARSE, FINE, Chunker, Grain, grain_of

GRAINS = pytest.mark.parametrize("grain", [FINE, COARSE])


def chunks_of(data: bytes, cuts: list[int] | None = None, grain: Grain = COARSE) -> list[bytes]:
    chunker = Chunker(grain)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]
    chunks: list[bytes] = []
    for start, end in itertools.pairwise(edges):
        chunks += chunker.feed(data[start:end])
    return chunks + chunker.cut()


@given(
    st.sampled_from([FINE, COARSE]),
    st.integers(0, 2**32),
    st.integers(0, 3_000_000),
    st.lists(st.integers(0, 2**31), max_size=6),
)
@settings(max_examples=25, deadline=None)
def test_pieces_do_not_matter(grain: Grain, seed: int, size: int, cuts: list[int]) -> None:
    data = random.Random(seed).randbytes(size)
    whole = chunks_of(data, grain=grain)
    assert chunks_of(data, cuts, grain) == whole
    assert b"".join(whole) == data
    assert all(len(chunk) <= grain.maximum <= limits.CHUNK_BYTES_MAX for chunk in whole)
    assert all(len(chunk) >= grain.minimum for chunk in whole[:-1])


@GRAINS
def test_small_feeds_make_the_same_chunks(grain: Grain) -> None:
    data = random.Random(5).randbytes(2_500_000)
    chunker = Chunker(grain)
    fed = [chunk for at in range(0, len(data), 999) for chunk in chunker.feed(data[at : at + 999])]
    assert fed + chunker.cut() == chunks_of(data, grain=grain)


@GRAINS
def test_bytes_without_structure_are_cut_at_the_maximum(grain: Grain) -> None:
    chunks = chunks_of(bytes(1_000_000), grain=grain)
    assert [len(chunk) for chunk in chunks[:3]] == [grain.maximum] * 3


def test_a_mod_is_cut_finely_up_to_some_size() -> None:
    assert grain_of(0) == grain_of(limits.FINE_MOD_BYTES) == FINE
    assert grain_of(limits.FINE_MOD_BYTES + 1) == COARSE


def test_what_is_large_in_it_is_cut_coarsely() -> None:
    assert grain_of(limits.FINE_MOD_BYTES, limits.FINE_RUN_BYTES) == FINE
    assert grain_of(limits.FINE_MOD_BYTES, limits.FINE_RUN_BYTES + 1) == COARSE
    assert grain_of(limits.FINE_MOD_BYTES + 1, 1) == COARSE


def test_a_run_is_cut_by_its_own_grain() -> None:
    data = random.Random(9).randbytes(1_000_000)
    chunker = Chunker(FINE)
    assert chunker.feed(data[:300_000]) + chunker.begin(COARSE) == chunks_of(
        data[:300_000], grain=FINE
    )
    assert chunker.feed(data[300_000:]) + chunker.begin(FINE) == chunks_of(
        data[300_000:], grain=COARSE
    )
    assert chunker.cut() == []


def test_an_edit_of_a_fine_mod_costs_little_around_it() -> None:
    """What is new beside an edit of 100 kB, on average of 40."""
    around = 0
    for seed in range(40):
        rng = random.Random(seed)
        data = rng.randbytes(1_000_000)
        at = rng.randrange(900_000)
        edited = data[:at] + rng.randbytes(100_000 + seed % 2) + data[at + 100_000 :]
        old = set(chunks_of(data, grain=FINE))
        around += sum(len(one) for one in chunks_of(edited, grain=FINE) if one not in old) - 100_000
    assert 0 < around / 40 < 45_000


def test_an_edit_moves_only_the_chunks_around_it() -> None:
    data = random.Random(6).randbytes(4_000_000)
    edited = data[:2_000_000] + b"inserted" + data[2_000_000:]
    changed = set(chunks_of(edited)) - set(chunks_of(data))
    assert 1 <= len(changed) <= 3


def test_a_cut_forgets_what_was_before() -> None:
    chunker = Chunker(COARSE)
    first, second = random.Random(7).randbytes(500_000), random.Random(8).randbytes(500_000)
    assert chunker.feed(first) + chunker.cut() == chunks_of(first)
    assert chunker.cut() == []
    assert chunker.feed(second) + chunker.cut() == chunks_of(second)


@pytest.mark.parametrize(
    ("grain", "size", "expected"),
    [
        (
            COARSE,
            1_000_000,
            [85543, 150743, 53897, 135041, 54854, 99475, 87776, 80945, 93060, 66260, 69735, 22671],
        ),
        (FINE, 200_000, [50359, 4224, 30960, 16790, 27302, 33756, 26060, 10549]),
    ],
)
def test_the_cuts_themselves(grain: Grain, size: int, expected: list[int]) -> None:
    """Golden, from the chunker's reference in plain Python: other cuts make every chunk new."""
    data = random.Random(42).randbytes(size)
    assert [len(chunk) for chunk in chunks_of(data, grain=grain)] == expected
