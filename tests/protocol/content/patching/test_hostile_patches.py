"""Patches of liars: each ends in BadContent, and its reader writes no more than it says."""

import contextlib
import random
import struct

import pytest
from backports.zstd import CompressionParameter, ZstdCompressor, ZstdDict
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import codec, limits
from protocol.content.patching import part as parts
from protocol.content.patching.frame import Prefix, Rebuilding
from protocol.content.patching.part import PatchPart, PatchReader, decode_head, encode_head
from protocol.errors import BadContent
from tests.protocol.content.patching.versions import Version, patch_between, rebuilt, version

RNG = random.Random(3)
BEFORE = RNG.randbytes(300_000)
BASE = version({"a": BEFORE})
NEW = version({"a": BEFORE[:100_000] + b"new" + BEFORE[100_000:], "b": b"text " * 9_000})
LENGTHS = list(NEW.side.lengths)
PATCH = patch_between(BASE, NEW)


def raw_run(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def head(*fields: object) -> bytes:
    return codec.encode(list(fields))


def drained(patch: bytes, base: Version = BASE, lengths: list[int] = LENGTHS) -> None:
    list(rebuilt(patch, base, lengths))


def test_what_is_rebuilt_here_is_right_before_it_is_spoilt() -> None:
    drained(PATCH)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        head(1, b"", raw_run(0, 1)),
        head(2, b"", raw_run(0, 1), 9),
        head(True, b"", raw_run(0, 1), 9),
        head(1, "", raw_run(0, 1), 9),
        head(1, b"", raw_run(0, 1), 0),
        head(1, b"", raw_run(0, 1), -1),
        head(1, b"", raw_run(0, 1), 2**32),
        head(1, b"", raw_run(0, 1)[:-1], 9),
        head(1, b"", raw_run(0, 0), 9),
        head(1, raw_run(0, 0), raw_run(0, 1), 9),
        head(1, b"", raw_run(1, 1, 0, 1), 9),
        head(1, b"", raw_run(0, 1, 1, 1), 9),
        head(1, raw_run(0, 2, 1, 2), raw_run(0, 1), 9),
        head(1, b"", raw_run(2**32 - 1, 1), 9),
        head(1, b"", raw_run(0, 2**32 - 1), 9),
        head(1, b"", raw_run(0, limits.PATCH_PART_CHUNKS + 1), 9),
        head(1, raw_run(0, limits.PATCH_PART_CHUNKS, 2**16, 1), raw_run(0, 1), 9),
    ],
)
def test_heads_that_are_not_well_formed(data: bytes) -> None:
    with pytest.raises(BadContent):
        decode_head(data)


@pytest.mark.parametrize(
    ("base", "chunks", "frame_bytes"),
    [
        ((), (), 9),
        ((), ((0, 1),), 9),
        (((3, 2),), ((1, 1),), 9),
        ((), ((3, 2),), 9),
        ((), ((1, 1),), 10 + limits.PATCH_FRAME_MORE_BYTES + 1),
        (((0, 4),), ((1, 1),), 9),
        ((), ((1, 3),), 9),
    ],
)
def test_parts_that_do_not_fit(
    base: parts.Runs, chunks: parts.Runs, frame_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PATCH_PART_BYTES", 29)
    good = PatchPart(((0, 2),), ((1, 2),), 9)
    good.check([10] * 4, [10] * 4, 1)
    assert decode_head(encode_head(good)[4:]) == good
    with pytest.raises(BadContent):
        PatchPart(base, chunks, frame_bytes).check([10] * 4, [10] * 4, 1)


def test_a_chunk_is_yielded_once() -> None:
    part = PatchPart((), ((1, 2),), 1)
    reader = PatchReader([], [10] * 4)
    assert list(reader.feed(encode_head(part) + b"x")) == [part, b"x"]
    with pytest.raises(BadContent, match="before"):
        list(reader.feed(encode_head(PatchPart((), ((2, 1),), 1))))


@pytest.mark.parametrize(
    ("base", "part_bytes", "part_chunks", "taken"),
    [
        (((0, 4),), 40, 4096, 5),  # 40 bytes of the base each; 80 bytes are 4 parts and a last one
        (((0, 2), (4, 2)), 2**20, 4, 5),  # 4 chunks of the base each; 8 chunks likewise
        (((0, 2),), 40, 4096, 8),
        ((), 40, 4096, 8),
    ],
)
def test_parts_that_yield_little_and_refer_to_much(
    base: parts.Runs,
    part_bytes: int,
    part_chunks: int,
    taken: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each costs its reader the opening of 64 MiB, for a chunk of some bytes."""
    monkeypatch.setattr(limits, "PATCH_PART_BYTES", part_bytes)
    monkeypatch.setattr(limits, "PATCH_PART_CHUNKS", part_chunks)
    lengths = [10] * 8
    reader = PatchReader(lengths, lengths)
    heads = [encode_head(PatchPart(base, ((number, 1),), 1)) for number in range(8)]
    for head in heads[:taken]:
        assert len(list(reader.feed(head + b"x"))) == 2
    for head in heads[taken : taken + 1]:
        with pytest.raises(BadContent, match="more of its base"):
            list(reader.feed(head + b"x"))


def test_a_long_head_is_refused_before_it_is_here() -> None:
    with pytest.raises(BadContent, match="head"):
        list(PatchReader([], [1]).feed(struct.pack(">I", 2**24)))


@pytest.mark.parametrize("kept", [3, 5, 20, 60, len(PATCH) - 1])
def test_a_patch_that_ends_early(kept: int) -> None:
    with pytest.raises(BadContent):
        drained(PATCH[:kept])


def test_bytes_after_a_patch() -> None:
    for more in (b"\0", b"x" * 500):
        with pytest.raises(BadContent):
            drained(PATCH + more)


def test_another_base_or_another_new_version_is_noticed_or_yields_other_bytes() -> None:
    other = version({"a": RNG.randbytes(300_000)})
    with contextlib.suppress(BadContent):
        got = dict(rebuilt(PATCH, other, LENGTHS))
        assert any(NEW.chunks[number] != chunk for number, chunk in got.items())
    with pytest.raises(BadContent):
        drained(PATCH, BASE, [length + 1 for length in LENGTHS])


def read_frame(frame: bytes, lengths: list[int], prefix: bytes = b"") -> int:
    """How many bytes come of a frame; raises BadContent."""
    rebuilding = Rebuilding(Prefix(prefix), lengths)
    size = 0
    for start in range(0, len(frame), 1000):
        for chunk in rebuilding.feed(frame[start : start + 1000]):
            size += len(chunk)
            assert size <= sum(lengths)
    rebuilding.end()
    return size


def frame_of(
    plaintext: bytes, prefix: bytes = b"", sizes: bool = True, window_log: int = 20
) -> bytes:
    options: dict[int, int] = {
        CompressionParameter.content_size_flag: int(sizes),
        CompressionParameter.window_log: window_log,
    }
    base = ZstdDict(prefix, is_raw=True).as_prefix if prefix else None
    made = ZstdCompressor(options=options, zstd_dict=base)
    if sizes:
        made.set_pledged_input_size(len(plaintext))
    # In two steps, as Zstandard would otherwise see how short it is.
    return made.compress(plaintext) + made.flush()


def test_frames_become_what_they_say() -> None:
    assert read_frame(frame_of(b"x" * 500), [200, 300]) == 500
    assert read_frame(frame_of(b"y" + BEFORE, BEFORE), [1, 300_000], BEFORE) == 300_001
    assert len(frame_of(b"y" + BEFORE, BEFORE)) < 100
    assert read_frame(frame_of(b"x"), [1]) == 1


@pytest.mark.parametrize(
    "frame",
    [
        frame_of(bytes(501)),
        frame_of(bytes(499)),
        frame_of(bytes(500), sizes=False),
        frame_of(bytes(500), sizes=False, window_log=28),
        frame_of(bytes(500)) + b"\0",
        frame_of(bytes(500)) + frame_of(bytes(500)),
        frame_of(bytes(500))[:-1],
        frame_of(b""),
        b"\x28\xb5\x2f\xfd",
        b"no frame at all, but long enough for the header of one",
        struct.pack("<II", 0x184D2A50, 8) + b"skipped!",
        # 500 bytes, and a window of 2 GiB
        bytes.fromhex("28b52ffd") + bytes([0b01000000, 0xA8]) + struct.pack("<H", 244) + bytes(9),
        # 500 bytes, and a dictionary
        bytes.fromhex("28b52ffd") + bytes([0b01100001, 7]) + struct.pack("<H", 244) + bytes(9),
        # 500 bytes said, and a block of 2 MiB of one byte, as a block never may be
        bytes.fromhex("28b52ffd6000f4") + (2**21 << 3 | 0b011).to_bytes(4, "little")[:3] + b"x",
    ],
)
def test_frames_of_liars(frame: bytes) -> None:
    with pytest.raises(BadContent):
        read_frame(frame, [200, 300])


def test_a_wide_window_is_refused_before_anything_is_unpacked() -> None:
    """500 bytes, and a window of 256 MiB, which the library alone would refuse only later."""
    wide = bytes.fromhex("28b52ffd") + bytes([0b01000000, 18 << 3]) + struct.pack("<H", 244)
    with pytest.raises(BadContent, match="window"):
        list(Rebuilding(Prefix(b""), [200, 300]).feed(wide))


def test_a_bomb_becomes_no_more_than_its_part_says() -> None:
    """Its header says 500 bytes; its blocks of one byte each time would become 100 MiB."""
    block = (2**17 << 3 | 0b010).to_bytes(3, "little") + b"x"
    bomb = bytes.fromhex("28b52ffd60") + struct.pack("<H", 244) + block * 800
    with pytest.raises(BadContent):
        read_frame(bomb, [200, 300])


def test_references_beyond_the_prefix_do_not_unpack() -> None:
    frame = frame_of(BEFORE, BEFORE)
    with pytest.raises(BadContent):
        read_frame(frame, [300_000], BEFORE[:1000])
    with pytest.raises(BadContent):
        read_frame(frame, [300_000])


@given(st.integers(0, len(PATCH) - 1), st.integers(1, 255), st.booleans())
@settings(deadline=None)
def test_any_damage_ends_well(place: int, flip: int, cut: bool) -> None:
    spoilt = bytearray(PATCH)
    spoilt[place] ^= flip
    with contextlib.suppress(BadContent):
        for number, chunk in rebuilt(bytes(spoilt[: -place if cut else None]), BASE, LENGTHS):
            assert len(chunk) == LENGTHS[number]


@given(st.binary(max_size=300))
def test_any_bytes_are_a_patch_or_bad_content(data: bytes) -> None:
    for candidate in (data, PATCH[:60] + data):
        with contextlib.suppress(BadContent):
            list(rebuilt(candidate, BASE, LENGTHS, 7))
