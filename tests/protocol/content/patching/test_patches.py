"""Patches: whatever changed, they yield the exact chunks that the base lacks."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.content.patching import plan
from protocol.content.patching.part import numbers_of
from protocol.content.patching.plan import plan_parts
from tests.protocol.content.patching.versions import Version, patch_between, rebuilt, version

Files = dict[str, bytes]


def changed_at_random(files: Files, rng: random.Random) -> Files:
    """Bytes overwritten, put in and cut out; files moved, renamed, deleted, emptied and joined."""
    changed = dict(files)
    for _ in range(rng.randint(0, 8)):
        path = rng.choice(sorted(changed)) if changed else "first"
        data = bytearray(changed.get(path, b""))
        place = rng.randint(0, len(data))
        match rng.randrange(7):
            case 0:
                data[place : place + 9] = rng.randbytes(9)
            case 1:
                data[place:place] = rng.randbytes(rng.randint(1, 40_000))
            case 2:
                del data[place : place + rng.randint(1, 90_000)]
            case 3:
                changed.pop(path, None)
                path = f"moved {rng.randrange(9)}/{path}"
            case 4:
                path = f"{path} copy"
            case 5:
                data.clear()
            case 6:
                changed.pop(path, None)
                path = rng.choice(sorted(changed)) if changed else "last"
                data += changed.get(path, b"")
        changed[path] = bytes(data)
    return changed


def files_of(rng: random.Random) -> Files:
    return {
        f"{'ab'[number % 2]}/{number}.bin": rng.randbytes(rng.choice((0, 1, 700, 70_000, 400_000)))
        for number in range(rng.randint(0, 6))
    }


def check_exact(base: Version, new: Version) -> bytes:
    patch = patch_between(base, new)
    got = dict(rebuilt(patch, base, list(new.side.lengths)))
    lacking = set(new.side.addresses) - set(base.side.addresses)
    assert {new.side.addresses[number] for number in got} == lacking
    assert all(new.chunks[number] == chunk for number, chunk in got.items())
    return patch


@given(st.integers(0, 2**32), st.sampled_from([limits.PATCH_PART_BYTES, 2**18, 2**19]))
@settings(deadline=None, max_examples=60)
def test_a_patch_yields_exactly_what_the_base_lacks(seed: int, part_bytes: int) -> None:
    rng = random.Random(seed)
    files = files_of(rng)
    base, new = version(files), version(changed_at_random(files, rng))
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(limits, "PATCH_PART_BYTES", part_bytes)
        patching.setattr(plan, "_SPLIT_BYTES", part_bytes * 3 // 4)
        check_exact(base, new)
        for part in plan_parts(base.side, new.side):
            for side, runs in ((base.side, part.base), (new.side, part.chunks)):
                assert sum(side.lengths[number] for number in numbers_of(runs)) <= part_bytes


def test_one_byte_in_each_of_many_places_costs_little() -> None:
    rng = random.Random(7)
    before = rng.randbytes(4_000_000)
    after = bytearray(before)
    for place in range(0, len(after), 40_000):
        after[place] ^= 1
    patch = check_exact(version({"a": before}), version({"a": bytes(after)}))
    assert len(patch) < 4_000_000 / 400


@pytest.mark.parametrize("path", ["moved/texture.dds", "other name.dds"])
def test_a_file_in_parts_that_moved_and_changed_is_found_again(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every chunk of it changed, and it is larger than a part: only its name or kind tell."""
    monkeypatch.setattr(limits, "PATCH_PART_BYTES", 2**20)
    monkeypatch.setattr(plan, "_SPLIT_BYTES", 2**20 * 3 // 4)
    rng = random.Random(8)
    noise = {f"{number}.bin": rng.randbytes(1_000_000) for number in range(3)}
    before = rng.randbytes(4_000_000)
    after = bytearray(before)
    for place in range(0, len(after), 5_000):
        after[place] ^= 1
    base = version({**noise, "texture.dds": before})
    new = version({path: bytes(after)})
    patch = check_exact(base, new)
    assert len(patch) < 4_000_000 / 20


def test_a_changed_copy_of_a_file_that_stays_is_made_of_it() -> None:
    rng = random.Random(9)
    data = rng.randbytes(500_000)
    after = bytearray(data)
    for place in range(0, len(after), 10_000):
        after[place] ^= 1
    base = version({"a/one.png": data})
    assert len(check_exact(base, version({"a/one.png": data, "b/one.png": bytes(after)}))) < 5_000


def test_a_stored_member_and_the_unpacked_file_are_made_of_one_another() -> None:
    rng = random.Random(10)
    members = [rng.randbytes(90_000) for _ in range(5)]
    archive = b"".join(b"PK\3\4 header" + member for member in members) + b"directory"
    base = version({"mod.zip": archive})
    unpacked = {f"{number}.bin": member for number, member in enumerate(members)}
    assert len(check_exact(base, version(unpacked))) < 2_000
    assert len(check_exact(version(unpacked), version({"mod.zip": archive}))) < 2_000


def test_there_is_no_patch_where_nothing_is_lacking() -> None:
    base = version({"a": b"x" * 100, "b": b"y" * 300_000})
    assert plan_parts(base.side, version({"b": b"y" * 300_000}).side) == []
    assert patch_between(base, version({})) == b""
    assert patch_between(version({}), version({})) == b""


def test_many_small_chunks_are_parts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PATCH_PART_CHUNKS", 50)
    rng = random.Random(11)
    files = {f"{number:03}": rng.randbytes(500) for number in range(220)}
    changed = {path: data[:250] + b"!" + data[250:] for path, data in files.items()}
    parts = plan_parts(version(files).side, version(changed).side)
    assert len(parts) == 5
    for part in parts:
        assert sum(count for _, count in part.base) <= 50
    check_exact(version(files), version(changed))
