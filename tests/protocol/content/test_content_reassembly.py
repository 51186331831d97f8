"""Pieces: whole again in order, refused as soon as one does not follow."""

import hashlib
import itertools
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.content.frames import ChunkPiece, ManifestPiece
from protocol.content.reassembly import ChunkPieces, ManifestPieces
from protocol.errors import BadManifest, ChunkMismatch, Unexpected


def edges(size: int, cuts: list[int]) -> list[tuple[int, int]]:
    inner = sorted({cut % size for cut in cuts} - {0})
    return list(itertools.pairwise([0, *inner, size]))


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 300)))))
def test_chunks_become_whole_one_after_another(chunks: list[tuple[bytes, list[int]]]) -> None:
    pieces = ChunkPieces()
    for number, (data, cuts) in enumerate(chunks):
        parts = edges(len(data), cuts)
        for start, end in parts:
            whole = pieces.add(ChunkPiece(0, number, start, data[start:end]), len(data))
            assert whole == (data if end == len(data) else None)


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 300)))
def test_manifests_become_whole(data: bytes, cuts: list[int]) -> None:
    pieces = ManifestPieces(hashlib.sha256(data).digest(), len(data))
    results = [
        pieces.add(ManifestPiece(0, start, data[start:end]))
        for start, end in edges(len(data), cuts)
    ]
    assert results[-1] == data
    assert not any(results[:-1])


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ([(0, 1, b"x")], Unexpected),
        ([(0, 0, b"x"), (0, 2, b"x")], Unexpected),
        ([(0, 0, b"x"), (0, 0, b"x")], Unexpected),
        ([(0, 0, b"x"), (1, 1, b"x")], Unexpected),
        ([(0, 0, b"x"), (1, 0, b"x")], Unexpected),
        ([(0, 0, b"x" * 11)], ChunkMismatch),
        ([(0, 0, b"x" * 9), (0, 9, b"xx")], ChunkMismatch),
        ([(0, 0, b"x" * 10), (0, 10, b"x")], Unexpected),
    ],
)
def test_pieces_out_of_turn(pieces: list[tuple[int, int, bytes]], error: type[Exception]) -> None:
    collected = ChunkPieces()
    *good, bad = [ChunkPiece(0, chunk, offset, data) for chunk, offset, data in pieces]
    for piece in good:
        collected.add(piece, 10)
    with pytest.raises(error):
        collected.add(bad, 10)


@pytest.mark.parametrize("pieces", [[(1, b"x")], [(0, b"x" * 11)], [(0, b"x"), (0, b"x")]])
def test_pieces_of_a_manifest_out_of_turn(pieces: list[tuple[int, bytes]]) -> None:
    collected = ManifestPieces(bytes(32), 10)
    *good, bad = [ManifestPiece(0, offset, data) for offset, data in pieces]
    for piece in good:
        collected.add(piece)
    with pytest.raises(Unexpected):
        collected.add(bad)


def test_other_bytes_than_the_mods_are_no_manifest() -> None:
    pieces = ManifestPieces(hashlib.sha256(b"manifest").digest(), 8)
    assert pieces.add(ManifestPiece(0, 0, b"mani")) is None
    with pytest.raises(BadManifest):
        pieces.add(ManifestPiece(0, 4, b"pest"))


def test_single_bytes_cost_no_more_than_their_sum() -> None:
    """A list of parts would take 40 times the memory."""
    data = random.Random(1).randbytes(100_000)
    pieces = ManifestPieces(bytes(32), len(data))
    tracemalloc.start()
    for offset in range(0, len(data) - 2, 2):
        pieces.add(ManifestPiece(0, offset, data[offset : offset + 2]))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2 * len(data)
