"""Frames that restart a link: there and back in one spelling, and nothing else taken for one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.addresses import Address
from protocol.codec import encode
from protocol.description import Description
from protocol.errors import Malformed
from protocol.frame_types import CONTENT_TYPES, LINEAGE_TYPES, RESTART_TYPES, frame_type
from protocol.restarting.frames import (
    RestartAnswer,
    RestartFrame,
    RestartOffer,
    decode_restart_frame,
    encode_restart_frame,
    restart_id,
)
from protocol.signaling import AnswerStatus
from tests.protocol.descriptions import largest_description

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "restart_frames.json").read_text())
LARGEST = largest_description(Address("2001:4860::1", 4001))
DESCRIBED = Description.decode(bytes.fromhex(VECTORS[0]["description"]))


def frame_of(golden: dict[str, Any]) -> RestartFrame:
    described = bytes.fromhex(golden["description"])
    description = Description.decode(described) if described else None
    if golden["kind"] == "offer":
        assert description is not None
        return RestartOffer(description)
    status = AnswerStatus(golden["status"])
    return RestartAnswer(bytes.fromhex(golden["offer_id"]), status, description)


@pytest.mark.parametrize("golden", VECTORS, ids=lambda golden: golden.get("status", "offer"))
def test_golden_frame(golden: dict[str, Any]) -> None:
    frame, data = frame_of(golden), bytes.fromhex(golden["data"])
    assert encode_restart_frame(frame) == data
    assert decode_restart_frame(data) == frame
    assert frame_type(data) == frame.type in RESTART_TYPES
    assert frame.type not in (*CONTENT_TYPES, *LINEAGE_TYPES)


def test_an_offer_is_named_by_its_credentials_alone() -> None:
    assert restart_id(DESCRIBED).hex() == VECTORS[0]["offer_id"]
    assert restart_id(replace(DESCRIBED, candidates=())) == restart_id(DESCRIBED)
    assert restart_id(replace(DESCRIBED, ufrag="other")) != restart_id(DESCRIBED)


def test_the_largest_description_fits() -> None:
    for frame in (
        RestartOffer(LARGEST),
        RestartAnswer(bytes(16), AnswerStatus.ACCEPTED, LARGEST),
    ):
        data = encode_restart_frame(frame)
        assert len(data) <= limits.RESTART_FRAME_BYTES
        assert decode_restart_frame(data) == frame


@pytest.mark.parametrize(
    "fields",
    [
        [34],
        [34, b""],
        [34, DESCRIBED.encode(), 0],
        [35, bytes(16), 0, b""],
        [35, bytes(16), 5, DESCRIBED.encode()],
        [35, bytes(16), 1, b""],
        [35, bytes(15), 5, b""],
        [35, bytes(16), 7, b""],
        [36, bytes(16), 5, b""],
    ],
)
def test_what_is_no_such_frame(fields: list[Any]) -> None:
    with pytest.raises(Malformed):
        decode_restart_frame(encode(fields))


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=100))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    try:
        frame = decode_restart_frame(data)
    except Malformed:
        return
    assert encode_restart_frame(frame) == data
