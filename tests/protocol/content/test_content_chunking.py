"""Chunks: bounded, complete, independent of how the bytes arrive, unmoved by distant edits."""

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.content.chunking import Chunker


def chunks_of(data: bytes, cuts: list[int] | None = None) -> list[bytes]:
    chunker = Chunker()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]
    chunks: list[bytes] = []
    for start, end in itertools.pairwise(edges):
        chunks += chunker.feed(data[start:end])
    return chunks + chunker.cut()


@given(
    st.integers(0, 2**32), st.integers(0, 3_000_000), st.lists(st.integers(0, 2**31), max_size=6)
)
@settings(max_examples=25, deadline=None)
def test_pieces_do_not_matter(seed: int, size: int, cuts: list[int]) -> None:
    data = random.Random(seed).randbytes(size)
    whole = chunks_of(data)
    assert chunks_of(data, cuts) == whole
    assert b"".join(whole) == data
    assert all(len(chunk) <= limits.CHUNK_BYTES_MAX for chunk in whole)
    assert all(len(chunk) >= limits.CHUNK_BYTES_MIN for chunk in whole[:-1])


def test_small_feeds_make_the_same_chunks() -> None:
    data = random.Random(5).randbytes(2_500_000)
    chunker = Chunker()
    fed = [chunk for at in range(0, len(data), 999) for chunk in chunker.feed(data[at : at + 999])]
    assert fed + chunker.cut() == chunks_of(data)


def test_bytes_without_structure_are_cut_at_the_maximum() -> None:
    chunks = chunks_of(bytes(1_000_000))
    assert [len(chunk) for chunk in chunks[:3]] == [limits.CHUNK_BYTES_MAX] * 3


def test_an_edit_moves_only_the_chunks_around_it() -> None:
    data = random.Random(6).randbytes(4_000_000)
    edited = data[:2_000_000] + b"inserted" + data[2_000_000:]
    changed = set(chunks_of(edited)) - set(chunks_of(data))
    assert 1 <= len(changed) <= 3


def test_a_cut_forgets_what_was_before() -> None:
    chunker = Chunker()
    first, second = random.Random(7).randbytes(500_000), random.Random(8).randbytes(500_000)
    assert chunker.feed(first) + chunker.cut() == chunks_of(first)
    assert chunker.cut() == []
    assert chunker.feed(second) + chunker.cut() == chunks_of(second)


def test_the_cuts_themselves() -> None:
    """Golden, from the chunker's reference in plain Python: other cuts make every chunk new."""
    lengths = [len(chunk) for chunk in chunks_of(random.Random(42).randbytes(1_000_000))]
    assert lengths == [
        *(85543, 150743, 53897, 135041, 54854, 99475),
        *(87776, 80945, 93060, 66260, 69735, 22671),
    ]
