"""The body of a lineage record: its bounds, and the key that only readers open."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol import limits
from protocol.codec import encode
from protocol.content.lineage.body import LineageBody, wrapped_content_key
from protocol.errors import BadContent, Malformed
from protocol.identity import Identity
from protocol.records import LINEAGE, lineage_key, make, read

MOD, OTHER = bytes(range(32)), bytes(32)
CONTENT_KEY, READING_KEY = b"\1" * 32, b"\2" * 32
WRAPPED = wrapped_content_key(CONTENT_KEY, READING_KEY, MOD)
RECORDS = json.loads((Path(__file__).parents[3] / "vectors" / "records.json").read_text())
GOLDEN = [one for one in RECORDS if one["kind"] == LINEAGE]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["name"])
def test_golden_keys(golden: dict[str, Any]) -> None:
    fields = {
        name: bytes.fromhex(golden["body"][name])
        for name in ("mod_id", "content_key", "reading_key", "wrapped_key")
    }
    wrapped = wrapped_content_key(fields["content_key"], fields["reading_key"], fields["mod_id"])
    assert wrapped == fields["wrapped_key"]
    body = LineageBody(fields["mod_id"], 1, wrapped)
    assert body.content_key(fields["reading_key"]) == fields["content_key"]


def test_only_the_reading_key_opens_it_and_only_for_its_mod() -> None:
    body = LineageBody(MOD, 1, WRAPPED)
    assert body.content_key(READING_KEY) == CONTENT_KEY
    for other, key in (
        (body, CONTENT_KEY),
        (LineageBody(OTHER, 1, WRAPPED), READING_KEY),
        (LineageBody(MOD, 1, bytes(48)), READING_KEY),
    ):
        with pytest.raises(BadContent):
            other.content_key(key)


LONGEST = LineageBody(
    MOD,
    limits.LINEAGE_VERSION_MAX,
    WRAPPED,
    bytes(32),
    ("h" * limits.ORIGIN_BYTES,) * limits.ORIGINS_NAMED,
)


def test_the_longest_body_fits_a_record() -> None:
    identity = Identity(bytes(32))
    record = make(identity, LINEAGE, LONGEST, now=4e9, sequence=limits.SEQUENCE_MAX)
    assert len(record.raw) <= limits.RECORD_BYTES
    key = lineage_key(identity.public_key)
    assert read(record.raw, key=key, now=4e9, puzzle_bits=0).body == LONGEST


@pytest.mark.parametrize(
    "fields",
    [
        [MOD[:-1], 1, WRAPPED, b"", [], 0, b""],
        [MOD, 0, WRAPPED, b"", [], 0, b""],
        [MOD, limits.LINEAGE_VERSION_MAX + 1, WRAPPED, b"", [], 0, b""],
        [MOD, True, WRAPPED, b"", [], 0, b""],
        [MOD, 1, WRAPPED[:-1], b"", [], 0, b""],
        [MOD, 1, WRAPPED, b"\0", [], 0, b""],
        [MOD, 1, WRAPPED, bytes(33), [], 0, b""],
        [MOD, 1, WRAPPED, b"", ["a"] * (limits.ORIGINS_NAMED + 1), 0, b""],
        [MOD, 1, WRAPPED, b"", [""], 0, b""],
        [MOD, 1, WRAPPED, b"", [b"a"], 0, b""],
        [MOD, 1, WRAPPED, b"", ["a" * (limits.ORIGIN_BYTES + 1)], 0, b""],
        [MOD, 1, WRAPPED, b"", ["http://a/\u202e"], 0, b""],
        [MOD, 1, WRAPPED, b"", ["http://a/ b"], 0, b""],
        [MOD, 1, WRAPPED, b"", ["http://a/\n"], 0, b""],
        [MOD, 1, WRAPPED, b"", [["a"]], 0, b""],
        [MOD, 1, WRAPPED, b"", [], 1, b""],
        [MOD, 1, WRAPPED, b"", [], -1, b""],
        [MOD, 1, WRAPPED, b"", [], 0, b"\0"],
        [MOD, 1, WRAPPED, b"", [], 0],
        [MOD, 1, WRAPPED, b"", [], 0, b"", 0],
    ],
    ids=range(20),
)
def test_a_body_out_of_its_bounds_is_malformed(fields: list[Any]) -> None:
    with pytest.raises(Malformed):
        LineageBody.decode(encode(fields))
