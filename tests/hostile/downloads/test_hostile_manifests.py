"""What is small on the wire is not large at home: parsing a manifest is bounded in memory.

Also in time: CPU seconds are no assertion here, but names that share folders are looked at once.
"""

import struct
import tracemalloc
from collections.abc import Callable

import pytest

from protocol import codec, limits
from protocol.content import sealing
from protocol.content.lineage.keys import LineageKeys
from protocol.content.manifests import manifest
from protocol.content.manifests.contents import Contents, ModFile, encode_contents
from protocol.errors import BadManifest

FILES = 30_000
KEY = b"k" * 32
MEMORY_BYTES = 1200.0 * FILES

KEYS = LineageKeys(bytes(32), bytes(32))

NAMES: dict[str, Callable[[int], str]] = {
    "a folder each": lambda number: f"{number:06}{'x' * 200}/{'y' * 200}",
    "deep": lambda number: "a/" * 200 + f"{number:06}{'z' * 100}",
    "not ASCII": lambda number: f"{number:06}{'é' * 80}/{'ß' * 120}",
}


def hostile_manifest(body: bytes) -> manifest.Manifest:
    """A manifest without chunks whose sealed part is this."""
    sealed = sealing.seal_body(manifest._manifest_key(KEY), body, b"")
    return manifest.decode_manifest(manifest.sign_manifest(KEYS, b"", sealed))


@pytest.mark.parametrize("name", NAMES)
def test_many_long_names_take_little_memory(name: str) -> None:
    files = tuple(ModFile(NAMES[name](number), 0) for number in range(FILES))
    contents = Contents("mod", 1, files, (), (), ())
    body = sealing.Packer().pack(encode_contents(contents))
    del files, contents
    small = hostile_manifest(body)
    assert len(small.data) < 2.5 * FILES
    tracemalloc.start()
    opened = manifest.open_contents(small, KEY)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(opened.files) == FILES
    assert peak < MEMORY_BYTES


def test_a_list_that_is_longer_than_it_may_be_is_not_read() -> None:
    head = codec.encode(["mod", 1, b""])[1:]
    listed = b"\x9d" + head + b"\xdd" + struct.pack(">I", limits.MANIFEST_FILES + 1)
    packed = sealing.Packer().pack(listed + b"\xa0" * 2**25)
    assert len(packed) < 10_000
    small = hostile_manifest(packed)
    tracemalloc.start()
    with pytest.raises(BadManifest, match="not well-formed"):
        manifest.open_contents(small, KEY)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6
