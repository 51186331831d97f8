"""A zip is cut at its members' data; an odd one is not, and none can cost or break anything."""

import io
import json
import random
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.content.containers.member_cuts import member_cuts
from tests.protocol.content.containers.zips import (
    ALONE,
    END_BYTES,
    ENTRY,
    LOCATOR_64,
    METHODS,
    File,
    cuts_of,
    directory_offset,
    expected,
    put,
    some_members,
    wide_zip,
    zip_of,
)

VECTORS = json.loads((Path(__file__).parents[3] / "vectors/content/containers.json").read_text())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["", "streamed", "wide", "alike"])
def test_a_zip_is_cut_at_the_data_of_its_members(method: int, kind: str) -> None:
    members = some_members()
    data = zip_of(members, method, kind)
    cuts = cuts_of(data)
    assert cuts == expected(data)
    # Behind the last member's data stands its descriptor, or else the directory.
    assert len(cuts) == 6 + (kind == "streamed")
    if method == zipfile.ZIP_STORED:
        found = [data[start:end] for start, end in zip(cuts[:6:2], cuts[1:6:2], strict=True)]
        assert found == [members[0], members[2], members[4]]


def test_a_comment_may_say_anything() -> None:
    data = zip_of(some_members())
    for comment in (b"x" * 65535, b"PK\5\6 and so on" * 1000):
        assert cuts_of(zip_of(some_members(), comment=comment)) == cuts_of(data)


def test_a_zip64_that_says_all_twice_is_cut_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    data = wide_zip(monkeypatch, some_members())
    assert LOCATOR_64 in data
    assert cuts_of(data) == expected(data)
    assert len(cuts_of(data)) == 6


def test_members_below_the_size_flow_with_the_headers() -> None:
    data = zip_of(some_members(sizes=(ALONE - 1, ALONE, ALONE - 1)))
    (start, end, directory) = cuts_of(data)
    assert end - start == ALONE
    assert directory == directory_offset(data)
    assert cuts_of(zip_of(some_members(sizes=(5, 6)))) == [
        directory_offset(zip_of(some_members(sizes=(5, 6))))
    ]


def test_members_in_any_order_and_holes_between_them() -> None:
    data = zip_of(some_members())
    entries = data[directory_offset(data) : -END_BYTES].split(ENTRY)[1:]
    swapped = ENTRY + ENTRY.join(reversed(entries))
    assert cuts_of(data[: directory_offset(data)] + swapped + data[-END_BYTES:]) == expected(data)
    # A member that was taken out of the directory leaves a hole.
    without = ENTRY + ENTRY.join(entries[1:])
    end = put(data[-END_BYTES:], 8, "<2HL", 4, 4, len(without))
    hole = data[: directory_offset(data)] + without + end
    assert cuts_of(hole) == expected(hole) == expected(data)[2:]


def test_a_zip_within_a_zip_is_a_member() -> None:
    inner = zip_of(some_members(2))
    data = zip_of([inner, b"x"])
    start, end, _ = cuts_of(data)
    assert data[start:end] == inner


@pytest.mark.parametrize("kind", ["", "wide"])
def test_a_file_that_shrinks_while_it_is_looked_into_is_kept_whole(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = wide_zip(monkeypatch, some_members()) if kind else zip_of(some_members())
    whole = File(data)
    assert list(member_cuts(whole.read, len(data), ALONE))
    for reads in range(whole.reads):
        file = File(data)

        def read(offset: int, size: int, file: File = file, reads: int = reads) -> bytes:
            return file.read(offset, size)[: None if file.reads <= reads else size // 2]

        assert list(member_cuts(read, len(data), ALONE)) == []


def test_an_archive_is_read_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zip_of(some_members(sizes=(2000,) * 50))
    file = File(data)
    assert len(member_cuts(file.read, len(data), ALONE)) == 100
    directory = len(data) - END_BYTES - directory_offset(data)
    assert file.reads <= 50 + 6
    assert file.bytes_read <= directory + 50 * 64 + 100
    for name, value in (("CONTAINER_MEMBERS", 49), ("CONTAINER_DIRECTORY_BYTES", directory - 1)):
        with monkeypatch.context() as patched:
            patched.setattr(limits, name, value)
            file = File(data)
            assert list(member_cuts(file.read, len(data), ALONE)) == []
            assert file.bytes_read < 100
    for name, value in (("CONTAINER_MEMBERS", 50), ("CONTAINER_DIRECTORY_BYTES", directory)):
        monkeypatch.setattr(limits, name, value)
    assert len(cuts_of(data)) == 100


def test_a_file_full_of_ends_is_read_in_linear_time() -> None:
    end = b"PK\5\6" + bytes(18)
    file = File(b"PK\3\4" + end * 100_000)
    assert list(member_cuts(file.read, len(file.data), ALONE)) == []
    assert file.bytes_read < 2**17


def test_what_begins_as_no_zip_is_not_looked_at() -> None:
    file = File(b"MZ" + zip_of(some_members()))
    assert list(member_cuts(file.read, len(file.data), ALONE)) == []
    assert (file.reads, file.bytes_read) == (1, 4)


def check_safe(data: bytes, size: int) -> None:
    file = File(data)
    cuts = [0, *member_cuts(file.read, size, ALONE), size]
    assert all(one < other for one, other in pairwise(cuts))
    assert len(cuts) <= 2 * (size // ALONE) + 3
    assert file.bytes_read < 3 * size + 2**18


@given(
    st.sampled_from(METHODS),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=9)), max_size=4),
    st.integers(-40, 40),
)
@settings(max_examples=200, deadline=None)
def test_any_damage_makes_cuts_that_are_safe_or_none(
    method: int, streamed: bool, damages: list[tuple[int, bytes]], shrunk: int
) -> None:
    data = bytearray(zip_of(some_members(), method, "streamed" * streamed))
    directory = directory_offset(bytes(data))
    for place, damage in damages:
        # Most in the directory, where it matters.
        at = place % len(data) if place % 3 == 0 else directory + place % (len(data) - directory)
        data[at : at + len(damage)] = damage
    whole = bytes(data)
    check_safe(whole, len(whole))
    # A file that has become shorter or longer since its size was told.
    check_safe(whole, max(0, len(whole) - shrunk))


@given(st.integers(0, 2**32), st.integers(0, 200))
@settings(max_examples=50, deadline=None)
def test_any_zip_that_is_cut_short_is_kept_whole(seed: int, left: int) -> None:
    data = zip_of(some_members(seed % 100))
    cut = random.Random(seed).randrange(len(data))
    assert cuts_of(data[:cut]) == []
    assert cuts_of(data[: max(0, len(data) - 1 - left)]) == []


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_safe(data: bytes) -> None:
    check_safe(b"PK\3\4" + data, 4 + len(data))
    end = b"PK\5\6" + data[:18].ljust(18, b"\0")
    check_safe(b"PK\3\4" + data + end, 4 + len(data) + len(end))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["what"])
def test_golden_vectors(vector: dict[str, Any]) -> None:
    assert cuts_of(bytes.fromhex(vector["data"]), vector["alone_bytes"]) == vector["cuts"]


def test_zipfile_reads_what_is_between_the_cuts() -> None:
    members = some_members(sizes=(5000, 3000))
    data = zip_of(members, zipfile.ZIP_DEFLATED)
    read = zipfile.ZipFile(io.BytesIO(data))
    sizes = [info.compress_size for info in read.infolist()]
    cuts = cuts_of(data)
    assert [cuts[1] - cuts[0], cuts[3] - cuts[2]] == sizes
