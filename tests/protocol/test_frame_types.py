"""The frames about a link itself, and that each type belongs to one part."""

import json
from itertools import pairwise
from pathlib import Path

from protocol import codec
from protocol.frame_types import (
    CONTENT_TYPES,
    IDLE_FRAME,
    LINEAGE_TYPES,
    LINK_TYPES,
    RESTART_TYPES,
    WANTED_FRAME,
    frame_type,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "link_frames.json").read_text())


def test_the_bytes_stay_the_same() -> None:
    assert {"wanted": WANTED_FRAME.hex(), "idle": IDLE_FRAME.hex()} == VECTORS


def test_they_are_frames_of_the_types_of_a_link() -> None:
    for frame, kind in zip((WANTED_FRAME, IDLE_FRAME), LINK_TYPES, strict=True):
        assert frame == codec.encode([kind])
        assert frame_type(frame) == kind


def test_no_type_belongs_to_two_parts() -> None:
    parts = (CONTENT_TYPES, LINEAGE_TYPES, RESTART_TYPES, LINK_TYPES)
    assert all(before.stop <= after.start for before, after in pairwise(parts))
