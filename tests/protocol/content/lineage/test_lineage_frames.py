"""Frames about versions: each there and back in one spelling, and nothing else taken for one."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import codec, limits
from protocol.content.lineage.frames import (
    FollowFrame,
    LineageFrame,
    NewsFrame,
    decode_lineage_frame,
    encode_lineage_frame,
    follow_frames,
)
from protocol.errors import Malformed
from protocol.frame_types import CONTENT_TYPES, LINEAGE_TYPES, frame_type

CONTENT = Path(__file__).parents[3] / "vectors" / "content"
VECTORS = json.loads((CONTENT / "lineage_frames.json").read_text())
KEYS = st.binary(min_size=20, max_size=20)
FRAMES = st.builds(
    FollowFrame, st.lists(KEYS, min_size=1, max_size=limits.FOLLOWS_PER_FRAME).map(tuple)
) | st.builds(NewsFrame, st.binary(min_size=1, max_size=limits.RECORD_BYTES))


def frame_of(golden: dict[str, Any]) -> LineageFrame:
    if golden["kind"] == "FollowFrame":
        return FollowFrame(tuple(map(bytes.fromhex, golden["keys"])))
    return NewsFrame(bytes.fromhex(golden["record"]))


@pytest.mark.parametrize("golden", VECTORS, ids=lambda golden: golden["kind"])
def test_golden_frame(golden: dict[str, Any]) -> None:
    frame, data = frame_of(golden), bytes.fromhex(golden["data"])
    assert encode_lineage_frame(frame) == data
    assert decode_lineage_frame(data) == frame


@settings(deadline=None, derandomize=True)
@given(FRAMES)
def test_there_and_back(frame: LineageFrame) -> None:
    data = encode_lineage_frame(frame)
    assert decode_lineage_frame(data) == frame
    assert frame_type(data) == frame.type in LINEAGE_TYPES
    assert frame.type not in CONTENT_TYPES


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=100))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    try:
        frame = decode_lineage_frame(data)
    except Malformed:
        return
    assert encode_lineage_frame(frame) == data


@pytest.mark.parametrize(
    "value",
    [
        [32, bytes(20 * (limits.FOLLOWS_PER_FRAME + 1))],
        [32, bytes(19)],
        [32, b""],
        [32, []],
        [32],
        [32, bytes(20), 0],
        [33, b""],
        [33, bytes(limits.RECORD_BYTES + 1)],
        [33, "text"],
        [34, bytes(20)],
        [True, bytes(20)],
    ],
    ids=range(11),
)
def test_a_frame_out_of_its_bounds_is_malformed(value: list[Any]) -> None:
    with pytest.raises(Malformed):
        decode_lineage_frame(codec.encode(value))


def test_many_keys_take_as_many_frames_as_they_need() -> None:
    keys = [number.to_bytes(20) for number in range(2 * limits.FOLLOWS_PER_FRAME + 1)]
    frames = list(follow_frames(keys))
    assert [len(frame.keys) for frame in frames] == [64, 64, 1]
    assert [key for frame in frames for key in frame.keys] == keys
    assert list(follow_frames([])) == []
