"""Manifests: round trips, one spelling, and every lie a publisher could tell refused by name."""

import contextlib
import hashlib
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import codec, limits
from protocol.content.lineage.keys import LineageKeys
from protocol.content.manifests import manifest
from protocol.content.manifests.contents import Contents, ModFile
from protocol.errors import BadContent, BadManifest, Malformed, UnknownVersion
from tests.protocol.content.contents import (
    KEYS,
    SMALL_TABLE,
    Table,
    address,
    built,
    fields_of,
    mods,
    opened_from_liar,
    sealed_by_a_liar,
    small,
)

OTHER_KEYS = LineageKeys(bytes(32), bytes(32))


@given(mods())
@settings(deadline=None)
def test_round_trip(mod: tuple[Contents, Table]) -> None:
    contents, table = mod
    made, key = built(contents, table)
    read = manifest.decode_manifest(made.data)
    assert read == made
    assert read.mod_id == hashlib.sha256(made.data).digest()
    assert list(zip(read.addresses, read.sealed_lengths, strict=True)) == table
    assert manifest.open_contents(read, key) == contents


def test_publishing_twice_makes_the_same_mod() -> None:
    assert built(small(), SMALL_TABLE) == built(small(), SMALL_TABLE)


@pytest.mark.parametrize(
    "other", [small(name="Another"), small(version=2), small(keys=(b"\3" * 32, b"\2" * 32))]
)
def test_every_version_has_its_own_content_key(other: Contents) -> None:
    assert built(other, SMALL_TABLE)[1] != built(small(), SMALL_TABLE)[1]


def test_the_content_key_depends_on_the_table_and_the_lineage() -> None:
    """The table is authenticated under the key, so another table needs another key."""
    key = built(small(), SMALL_TABLE)[1]
    assert built(small(), [SMALL_TABLE[0], (address(9), 60)])[1] != key
    assert manifest.build_manifest(small(), SMALL_TABLE, OTHER_KEYS)[1] != key


def test_names_are_not_readable_without_the_key() -> None:
    made, key = built(small(), SMALL_TABLE)
    assert b"b.txt" not in made.data
    with pytest.raises(BadManifest, match="content key"):
        manifest.open_contents(made, bytes(32))
    other, _ = built(small(name="x"), SMALL_TABLE)
    with pytest.raises(BadManifest, match="content key"):
        manifest.open_contents(other, key)


def test_a_sealed_part_belongs_to_its_table() -> None:
    made, key = built(small(), SMALL_TABLE)
    moved = replace(made, addresses=made.addresses[::-1])
    with pytest.raises(BadManifest, match="content key"):
        manifest.open_contents(moved, key)


def test_the_small_mod_of_these_tests_is_good() -> None:
    assert opened_from_liar(small()) == small()


def one_file(path: str) -> tuple[ModFile, ...]:
    return (ModFile(path, 300),)


def two_files(*names: str) -> tuple[ModFile, ...]:
    return tuple(ModFile(path, 300 // len(names)) for path in names)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (small(files=one_file("../x")), r"'\.\./x' has the part '\.\.'"),
        (small(files=one_file("/x")), "is absolute"),
        (small(files=one_file("C:\\x")), "one of the characters"),
        (small(files=one_file("a\0b")), "control character"),
        (small(files=one_file("aux.txt")), "Windows device"),
        (small(files=one_file("x.")), "dot or a space"),
        (small(files=one_file("a" * 256)), "more than 255"),
        (small(files=one_file("a/" * 2100 + "b")), "longer than 4096"),
        (small(files=one_file("")), "order of file paths"),
        (small(files=two_files("a", "a")), "order of file paths"),
        (small(files=two_files("A", "a")), "one name"),
        (small(files=two_files("a", "a/b")), "both a file and a folder"),
        (small(files=two_files("b", "a")), "not in the order of file paths"),
        (small(files=()), "names 0 files"),
        (small(name=""), "no name"),
        (small(name="a\nb"), "control character"),
        (small(version=0), "0 is outside 1"),
        (small(version=limits.LINEAGE_VERSION_MAX + 1), "is outside 1"),
        (small(name="x" * (limits.MOD_NAME_BYTES + 1)), "longer than"),
        (small(files=(ModFile("a", 299),)), "299 bytes and its chunks 300"),
        (small(files=(ModFile("a", 2**63), ModFile("b", 2**63))), "more than"),
        (small(files=(ModFile("a", 2**64 - 1),)), "more than"),
        (small(lengths=(100, 101)), "300 bytes and its chunks 301"),
        (small(lengths=(0, 300)), "chunk of 0 bytes"),
        (small(lengths=(limits.CHUNK_BYTES_MAX + 1, 1)), "chunk of 262145 bytes"),
        (small(lengths=(99, 102)), "grew"),
        (small(keys=(b"\1" * 32,)), "same number of chunks"),
        (small(lengths=(100,)), "same number of chunks"),
        (small(order=(0, 0, 0)), "no file needs"),
        (small(order=(1, 0, 0)), "first appearance"),
        (small(order=(0, 1, 2)), "first appearance"),
        (small(order=(0, 1, 2**32 - 1)), "first appearance"),
        (small(order=()), "no file needs"),
        (small(empty_folders=("d", "c")), "folders are not in the order"),
        (small(empty_folders=("c", "c")), "folders are not in the order"),
        (small(empty_folders=("a",)), "or it is not empty"),
        (small(empty_folders=("c", "c d", "c/d")), "'c' is there twice, or it is not empty"),
        (small(empty_folders=("b",)), "both a file and a folder"),
        (small(empty_folders=("b/c",)), "both a file and a folder"),
        (small(empty_folders=("a/b.txt",)), "both a file and a folder"),
        (small(empty_folders=("A/d",)), "one name"),
        (small(empty_folders=("D", "d")), "one name"),
        (small(empty_folders=("../d",)), r"has the part '\.\.'"),
        (small(empty_folders=("/d",)), "is absolute"),
        (small(empty_folders=("",)), "or it is not empty"),
        (small(empty_folders=("d/",)), "has the part ''"),
        (small(empty_folders=("aux",)), "Windows device"),
    ],
)
def test_lies_are_refused(contents: Contents, reason: str) -> None:
    with pytest.raises(BadManifest, match=reason) as caught:
        opened_from_liar(contents)
    assert str(caught.value).isprintable()


def test_a_million_entries() -> None:
    names = [f"{number:07}" for number in range(1_000_000)]
    fields = fields_of(small())
    fields[3:6] = [names, bytes(8 * len(names)), bytes(len(names))]
    data, key = sealed_by_a_liar(fields)
    with pytest.raises(BadManifest, match="well-formed"):
        manifest.open_contents(manifest.decode_manifest(data), key)


def test_as_many_files_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MANIFEST_FILES", 8)
    files = tuple(ModFile(f"{number}", 300 * (number == 0)) for number in range(9))
    assert opened_from_liar(small(files=files[:8])).files == files[:8]
    with pytest.raises(BadManifest):
        opened_from_liar(small(files=files))


def test_a_huge_stream_from_a_small_manifest() -> None:
    """Millions of repeats of one chunk pack into kilobytes; they are bounded before unpacking."""
    fields = fields_of(small())
    fields[10] = bytes(4 * (limits.MANIFEST_CHUNKS + 1))
    data, key = sealed_by_a_liar(fields)
    assert len(data) < 100_000
    with pytest.raises(BadManifest, match="array"):
        manifest.open_contents(manifest.decode_manifest(data), key)


def test_a_sealed_part_that_is_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = fields_of(small())
    data, key = sealed_by_a_liar([*fields[:8], bytes(3_000_000), *fields[9:]])
    monkeypatch.setattr(limits, "MANIFEST_BYTES", 1_000_000)
    with pytest.raises(BadManifest, match="claims"):
        manifest.open_contents(manifest.decode_manifest(data), key)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, b"bytes"),
        *((1, None), (1, True), (1, "1"), (1, 2**64 - 1), (1, -1)),
        *((2, bytes(32)), (2, bytes(65)), (2, None)),
        (3, "text"),
        (3, [b"bytes"]),
        (3, [["nested"]]),
        (4, bytes(23)),
        (5, b"\0\1\2"),
        (5, b"\0\1"),
        *((6, b""), (6, bytes(95)), (7, bytes(23)), (7, bytes(32))),
        (8, bytes(65)),
        (9, bytes(9)),
        (10, bytes(13)),
        (10, 5),
        *((11, None), (11, [b"c"]), (11, b"")),
        *((12, bytes(31)), (12, bytes(104 * 5)), (12, [])),
    ],
)
def test_wrong_shapes(place: int, value: object) -> None:
    fields = fields_of(small())
    fields[place] = value
    data, key = sealed_by_a_liar(fields)
    with pytest.raises(BadManifest, match="well-formed"):
        manifest.open_contents(manifest.decode_manifest(data), key)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (SMALL_TABLE[:1] * 2, "twice"),
        ([(address(0), 17)], "impossible length"),
        ([(address(0), limits.SEALED_CHUNK_BYTES + 1)], "impossible length"),
        ([(address(0), 0)], "impossible length"),
    ],
)
def test_tables_that_lie(table: Table, reason: str) -> None:
    data, _ = sealed_by_a_liar([], table)
    with pytest.raises(BadManifest, match=reason):
        manifest.decode_manifest(data)


def test_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = sealed_by_a_liar([])
    monkeypatch.setattr(limits, "MANIFEST_CHUNKS", 1)
    with pytest.raises(BadManifest, match="72 bytes"):
        manifest.decode_manifest(data)
    with pytest.raises(BadManifest):
        manifest.decode_manifest(manifest.sign_manifest(KEYS, bytes(35), b""))


def test_manifests_are_bounded() -> None:
    with pytest.raises(BadManifest, match="at most"):
        manifest.decode_manifest(bytes(limits.MANIFEST_BYTES + 1))


def test_other_versions() -> None:
    for version in (1, 2):
        with pytest.raises(UnknownVersion, match="has to share it again"):
            manifest.decode_manifest(codec.encode([version, b"", b""]))
    with pytest.raises(UnknownVersion, match="of version 3"):
        manifest.decode_manifest(codec.encode([3, b"", b"", b""]))
    made, _ = built(small(), SMALL_TABLE)
    fields = codec.decode_canonical(made.data, max_bytes=9999, max_items=6)
    with pytest.raises(UnknownVersion, match="policy 1"):
        manifest.decode_manifest(codec.encode([*fields[:2], 1, *fields[3:]]))


@pytest.mark.parametrize("place", [1, 3, 4, 5])
def test_only_the_key_of_the_lineage_signs(place: int) -> None:
    """Or anybody could publish a version of a victim's mod."""
    made, _ = built(small(), SMALL_TABLE)
    other, _ = manifest.build_manifest(small(version=2), SMALL_TABLE[::-1], OTHER_KEYS)
    fields, others = (
        codec.decode_canonical(one.data, max_bytes=9999, max_items=6) for one in (made, other)
    )
    fields[place] = others[place]
    with pytest.raises(BadManifest, match="not signed by the key of its lineage"):
        manifest.decode_manifest(codec.encode(fields))


def test_empty_folders() -> None:
    made, key = built(small(empty_folders=("a/d", "c/d/e")), SMALL_TABLE)
    contents = manifest.open_contents(manifest.decode_manifest(made.data), key)
    assert contents.empty_folders == ("a/d", "c/d/e")
    assert contents.folders == 5
    assert contents.disk_bytes == 300 + limits.DISK_ENTRY_BYTES * 8


def test_as_many_folders_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MANIFEST_FOLDERS", 4)
    folders = ("c", "d", "e")
    assert opened_from_liar(small(empty_folders=folders)).empty_folders == folders
    with pytest.raises(BadManifest, match="more than 4 folders"):
        opened_from_liar(small(empty_folders=("c", "d", "e", "f")))
    with pytest.raises(BadManifest, match="well-formed"):
        opened_from_liar(small(empty_folders=("c", "d", "e", "f", "g")))


@pytest.mark.parametrize("value", [None, [], [2, b""], [2, *[b""] * 5], [True, *[b""] * 5], {}])
def test_not_a_manifest(value: object) -> None:
    with pytest.raises(BadManifest):
        manifest.decode_manifest(codec.encode(value) if value != {} else b"\x80")


def test_one_spelling() -> None:
    """A longer spelling of the same lengths would be a second id for the same mod."""
    made, _ = built(small(), SMALL_TABLE)
    assert made.data[:2] == b"\x96\x02"
    with pytest.raises(BadManifest):
        manifest.decode_manifest(b"\xdc\0\6\2" + made.data[2:])
    with pytest.raises(BadManifest):
        manifest.decode_manifest(made.data + b"\0")


@given(st.binary(max_size=300))
def test_any_bytes_raise_only_our_errors(data: bytes) -> None:
    made, key = built(small(), SMALL_TABLE)
    for candidate in (data, made.data[: len(data)] + data, b"\x96\2" + data):
        try:
            manifest.open_contents(manifest.decode_manifest(candidate), key)
        except (BadContent, Malformed):
            continue
        assert candidate == made.data


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_changed_bytes_raise_only_our_errors(seed: int, count: int) -> None:
    rng = random.Random(seed)
    made, key = built(small(), SMALL_TABLE)
    changed = bytearray(made.data)
    for _ in range(count):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    if bytes(changed) == made.data:
        return
    with pytest.raises((BadContent, Malformed)):
        manifest.open_contents(manifest.decode_manifest(bytes(changed)), key)


LEAVES = st.none() | st.integers(-5, 5) | st.text(max_size=3) | st.binary(max_size=9)


@given(st.recursive(LEAVES, st.lists, max_leaves=8))
def test_any_sealed_value_raises_only_our_errors(value: object) -> None:
    fields = fields_of(small())
    for candidate in ([value], [value] * 13, [*fields[:4], value, *fields[5:]]):
        try:
            data, key = sealed_by_a_liar(candidate)
        except TypeError:
            continue  # nested too deep for our own encoder
        with contextlib.suppress(BadManifest):
            manifest.open_contents(manifest.decode_manifest(data), key)


def test_our_own_mistakes_are_not_published() -> None:
    with pytest.raises(BadManifest):
        built(small(files=one_file("../x")), SMALL_TABLE)
