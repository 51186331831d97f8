"""Mods for tests of manifests: consistent ones, and small ones to spoil."""

import hashlib
import itertools
import unicodedata
from dataclasses import replace

from hypothesis import strategies as st

from protocol import codec, limits
from protocol.content import file_paths, sealing
from protocol.content.lineage.keys import LineageKeys
from protocol.content.manifests import manifest
from protocol.content.manifests.contents import Contents, ModFile, PatchOffer, VersionKeys
from protocol.content.manifests.manifest import Manifest
from protocol.errors import UnsafePath

SECRET = b"\7" * 32
KEYS = LineageKeys(SECRET, b"\5" * 32)

Table = list[tuple[bytes, int]]


def address(number: int) -> bytes:
    return hashlib.sha256(b"chunk %d" % number).digest()


def small(**changes: object) -> Contents:
    """Three files of 300 bytes in two chunks, the first of which comes twice."""
    files = (ModFile("a/b.txt", 150), ModFile("a/c", 0, executable=True), ModFile("b", 150))
    contents = Contents("A mod", 1, files, (b"\1" * 32, b"\2" * 32), (100, 100), (0, 1, 0))
    return replace(contents, **changes)  # type: ignore[arg-type]


SMALL_TABLE: Table = [(address(0), 117), (address(1), 60)]


def sealed_by_a_liar(
    sealed_fields: list[object], table: Table | None = None
) -> tuple[bytes, bytes]:
    """A manifest whose sealed part holds any values at all, and its content key."""
    rows = b"".join(
        place + length.to_bytes(4) for place, length in (SMALL_TABLE if table is None else table)
    )
    body = sealing.Packer().pack(codec.encode(sealed_fields))
    key = sealing.derive_key(SECRET, "manifest")
    sealed = sealing.seal_body(key, body, rows)
    return manifest.sign_manifest(KEYS, rows, sealed), SECRET


def fields_of(contents: Contents) -> list[object]:
    """The sealed part's list, as PROTOCOL.md gives it."""
    timed = [file for file in contents.files if file.modified_ns is not None]
    return [
        contents.name,
        contents.version,
        b""
        if contents.previous is None
        else contents.previous.mod_id + contents.previous.content_key,
        [file.path for file in contents.files],
        b"".join(file.size.to_bytes(8) for file in contents.files),
        bytes(file.executable for file in contents.files),
        b"".join(file.sha256 for file in contents.files),
        b"".join((file.modified_ns or 0).to_bytes(8, signed=True) for file in timed),
        b"".join(contents.keys),
        b"".join(length.to_bytes(4) for length in contents.lengths),
        b"".join(number.to_bytes(4) for number in contents.order),
        list(contents.empty_folders),
        contents.patch_of
        or b"".join(
            one.base + one.patch.mod_id + one.patch.content_key + one.sealed_bytes.to_bytes(8)
            for one in contents.patches
        ),
    ]


def opened_from_liar(contents: Contents, table: Table | None = None) -> Contents:
    data, key = sealed_by_a_liar(fields_of(contents), table)
    return manifest.open_contents(manifest.decode_manifest(data), key)


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda name: unicodedata.is_normalized("NFC", name)
)


BYTES_32 = st.binary(min_size=32, max_size=32)
TIMES = st.integers(-(2**63), 2**63 - 1)
VERSION_KEYS = st.builds(VersionKeys, BYTES_32, BYTES_32)
OFFERS = st.builds(PatchOffer, BYTES_32, VERSION_KEYS, st.integers(0, 2**64 - 1))


@st.composite
def safe_files(draw: st.DrawFn, total: int) -> tuple[ModFile, ...]:
    """Files by file path whose sizes add up to `total`."""
    tree, names = file_paths.Tree(), set()
    for parts in draw(st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=8)):
        path = "/".join(parts)
        try:
            tree.add(path)
        except UnsafePath:
            continue
        names.add(path)
    names = names or {"only"}
    count = len(names) - 1
    cuts = sorted(draw(st.lists(st.integers(0, total), min_size=count, max_size=count)))
    sizes = [end - start for start, end in itertools.pairwise([0, *cuts, total])]
    timed = draw(st.booleans())
    return tuple(
        ModFile(path, size, draw(st.booleans()), draw(BYTES_32), draw(TIMES) if timed else None)
        for path, size in zip(sorted(names), sizes, strict=True)
    )


@st.composite
def empty_folders_beside(draw: st.DrawFn, files: tuple[ModFile, ...]) -> tuple[str, ...]:
    """Paths, in order, of folders that may be empty beside these files."""
    found: list[str] = []
    for parts in draw(st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=4)):
        more = sorted([*found, "/".join(parts)])
        try:
            file_paths.check_tree((file.path for file in files), more)
        except UnsafePath:
            continue
        found = more
    return tuple(found)


@st.composite
def mods(draw: st.DrawFn) -> tuple[Contents, Table]:
    """A consistent mod of up to a dozen chunks."""
    lengths = draw(st.lists(st.integers(1, 200_000), max_size=8))
    order = list(range(len(lengths)))
    for _ in range(draw(st.integers(0, 4 if lengths else 0))):
        place = draw(st.integers(1, len(order)))
        order.insert(place, order[draw(st.integers(0, place - 1))])
    total = sum(lengths[number] for number in order)
    files = draw(safe_files(total))
    contents = Contents(
        draw(NAMES),
        draw(st.integers(1, limits.LINEAGE_VERSION_MAX)),
        files,
        tuple(draw(BYTES_32) for _ in lengths),
        tuple(lengths),
        tuple(order),
        draw(empty_folders_beside(files)),
        draw(st.none() | VERSION_KEYS),
        *draw(
            st.tuples(st.just(()), BYTES_32)
            | st.tuples(st.lists(OFFERS, max_size=limits.PATCHES).map(tuple), st.none())
        ),
    )
    table = [
        (address(number), draw(st.integers(18, length + 17)))
        for number, length in enumerate(lengths)
    ]
    return contents, table


def built(contents: Contents, table: Table) -> tuple[Manifest, bytes]:
    return manifest.build_manifest(contents, table, KEYS)
