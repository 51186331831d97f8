"""The figures of `bench content`: ideals, ratios of the rows that were measured, and failures."""

import random
import zipfile
from pathlib import Path

import pytest

from scripts.benchmarks.content import sources
from scripts.benchmarks.content.figures import ROWS, summary
from scripts.benchmarks.content.ideal import at, ratio, sources_s, spread, swarm_s
from scripts.benchmarks.content.patching.figures import PLACES
from scripts.benchmarks.content.versions import mods
from scripts.benchmarks.content.versions.updates import CASES

KEYS = {
    "publish_MBps",
    "loopback_vs_libtorrent",
    "shaped_100M_vs_http",
    "five_sources_vs_http",
    "ten_getters_last_over_ideal",
    "vs_libtorrent",
    "first_byte_ms",
    "delta",
    "origin_vs_http",
}


def test_ideals_are_those_of_the_table() -> None:
    assert swarm_s(20e6, 50, 50) == pytest.approx(3.2)
    assert swarm_s(5e6, 5, 5) == pytest.approx(8.0)
    assert sources_s(50e6, 5, 20, 200) == pytest.approx(4.0)
    assert sources_s(50e6, 1, 100, 100) == pytest.approx(4.0)


def test_a_swarm_is_bound_by_its_source_or_by_a_line() -> None:
    assert swarm_s(10e6, 8, 80) == pytest.approx(10)
    assert swarm_s(10e6, 80, 8) == pytest.approx(10)


def test_getters_that_failed_are_counted_and_named() -> None:
    told = spread([3.0, 1.0, 2.0], ["it is offline", "it is offline", "no link"])
    assert told["failed"] == 3
    assert told["failures"] == ["it is offline", "no link"]
    assert (told["last_s"], told["median_s"], told["first_s"]) == (3.0, 2.0, 1.0)
    assert spread([], ["no link"]) == {"failed": 1, "failures": ["no link"]}


def _row(ours_s: float, rival_s: float) -> dict[str, object]:
    rival = {"getter": {"last_s": rival_s}, "command": {"last_s": rival_s + 0.1}}
    own = {"node": {"last_s": ours_s}, "command": {"last_s": ours_s + 0.3}}
    return {"ours": own, "http": rival, "libtorrent": rival, "ideal_s": 2.0}


def test_every_figure_with_a_goal_has_its_key_even_if_nothing_was_measured() -> None:
    assert summary({}).keys() == KEYS
    assert summary({})["vs_libtorrent"]["line"] is None


def test_times_of_ours_over_http_and_speeds_over_rivals() -> None:
    told = summary({"line": _row(4.4, 4.0), "five_sources": _row(5.0, 20.0)})
    assert told["shaped_100M_vs_http"] == {"node": 1.1, "command": 1.146}
    assert told["five_sources_vs_http"] == 4.0
    assert told["vs_libtorrent"]["five_sources"] == 4.0
    assert summary({"ten_getters": _row(5.0, 4.0)})["ten_getters_last_over_ideal"] == {
        "ten_getters": 2.5,
        "ten_slow_getters": None,
    }


def test_delta_and_first_byte() -> None:
    first = {"without a link": {"first_byte_ms": 250.0}, "with a link": {"failure": "no link"}}
    update, anew = {"bytes_fetched": 10, "seconds": 1.0}, {"bytes_fetched": 200, "seconds": 4.0}
    cases = {"3 % of a texture": {"fetched_over_goal": 0.7}}
    delta = {"update": update, "fetched anew": anew, "cases": cases}
    noticed = {"link open": {"heard_s": 0.2}, "no link": {"heard_p99_s": 144.0}}
    told = summary({"first_byte": first, "delta": delta, "noticed": noticed})
    assert told["first_byte_ms"] == {"without a link": 250.0, "with a link": None}
    assert told["delta"] == {
        "bytes_fetched": 0.05,
        "seconds": 0.25,
        "fetched_over_goal": dict.fromkeys((*CASES, PLACES)) | {"3 % of a texture": 0.7},
        "patch_over_missing": dict.fromkeys(("numpy", "matplotlib", "assets")),
        "noticed_s": {"link open": 0.2, "no link": 144.0},
    }


def test_a_rival_that_is_missing_gives_no_ratio() -> None:
    assert ratio(1.0, None) is None
    assert ratio(None, 1.0) is None
    assert at({"ours": {"node": {"failed": 1}}}, "ours", "node", "last_s") is None


def test_each_row_says_what_it_is() -> None:
    assert all(row.__doc__ for row, _ in ROWS.values())


def test_a_second_version_has_so_much_changed(tmp_path: Path) -> None:
    first = sources.one_file(tmp_path / "first", 100_000)
    second = sources.changed(first, tmp_path / "second", 0.01)
    before, after = ((folder / "mod.bin").read_bytes() for folder in (first, second))
    assert before == random.Random(1).randbytes(100_000)
    assert len(after) == len(before) + sum(range(10))
    same = sum(before[at : at + 500] in after for at in range(0, len(before), 500))
    assert 200 - 2 * 10 <= same < 200


def test_a_tree_and_its_updates_are_what_the_cases_say(tmp_path: Path) -> None:
    first = mods.tree(2_000_000, 100)
    assert first == mods.tree(2_000_000, 100)
    assert sum(map(len, first.values())) == 2_000_000
    assert 50 < len(first) < 200
    for name, case in CASES.items():
        update = case.update(first)
        changed = [path for path in first if update.tree[path] != first[path]]
        assert sorted(changed) == sorted(update.changed), name
        assert update.tree.keys() == first.keys()
        differing = sum(
            one != other
            for path in changed
            for one, other in zip(first[path], update.tree[path], strict=True)
        )
        assert 0.8 * update.bytes < differing <= update.bytes
        assert 0.5 < update.packed_bytes / update.bytes < 0.7
        assert update.members_bytes() > update.packed_bytes
    share = 0.03 * max(map(len, first.values()))
    assert CASES["3 % of a texture"].update(first).bytes == int(share)
    assert len(CASES["1 % in 5 files"].update(first).changed) == 5
    assert CASES["1 % in 5 files"].update(first).bytes == 20_000
    mods.write_archive(first, tmp_path / "packed")
    with zipfile.ZipFile(tmp_path / "packed/mod.pmp") as read:
        assert {name: read.read(name) for name in read.namelist()} == first
    mods.write_folder(first, tmp_path / "folder")
    assert all((tmp_path / "folder" / path).read_bytes() == first[path] for path in first)


def test_origins_are_told_beside_what_they_are_compared_with() -> None:
    row = {"line": {"speed": 0.97}, "loopback": {}, "with a peer": {"of_both_lines": 0.91}}
    told = summary({"origin": row})["origin_vs_http"]
    assert told == {"line": 0.97, "loopback": None, "with_a_peer_of_both_lines": 0.91}
