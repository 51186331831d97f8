"""Golden vectors: the exact bytes of patches, made by a script that imported nothing of ours."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.content.patching.part import PatchPart, PatchReader, encode_head
from protocol.content.patching.plan import PatchSide
from tests.protocol.content.patching.versions import Version, rebuilt

_FILE = Path(__file__).parents[3] / "vectors" / "content" / "patches.json"
VECTORS: list[dict[str, Any]] = json.loads(_FILE.read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["name"]))
def test_patches(vector: dict[str, Any]) -> None:
    chunks = [bytes.fromhex(chunk) for chunk in vector["base"]]
    lengths = [len(chunk) for chunk in chunks]
    base = Version(PatchSide([], [], lengths, []), chunks)
    patch = bytes.fromhex(vector["data"])
    got = {str(number): data.hex() for number, data in rebuilt(patch, base, vector["lengths"], 1)}
    assert got == vector["yields"]

    heads, spelled = [], b""
    for one in PatchReader(lengths, vector["lengths"]).feed(patch):
        if isinstance(one, PatchPart):
            heads.append(one)
            spelled += encode_head(one)
        else:
            spelled += one
    assert spelled == patch
    told = [
        (tuple(map(tuple, one["base"])), tuple(map(tuple, one["chunks"])))
        for one in vector["parts"]
    ]
    assert [(head.base, head.chunks) for head in heads] == told
