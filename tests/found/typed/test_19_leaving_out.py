"""What is left out of a share: `.modswarmignore` and `--exclude`, told, and the same each time."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.content.homes import HomeGuard
from node.content.publish import walk
from node.content.publish.leaving_out import IGNORE_FILE, LeavingOut, option_for
from protocol import limits
from protocol.errors import BadFolder, BadInput, UnsafePath
from tests.node.content.content_nodes import content_node, write_files
from tests.node.content.homes import made_home
from tests.node.faces.commands import status_of, told_by
from tests.node.faces.fake_node import FakeNode, served_in_thread

GUARD = HomeGuard(Path("/nowhere/home"))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    monkeypatch.setenv("MODSWARM_HOME", str(tmp_path / "home"))
    with served_in_thread(tmp_path / "home") as fake:
        yield fake


def shared(folder: Path, *excludes: str) -> list[str]:
    return [file.path for file in walk.walk(folder, GUARD, LeavingOut.of(excludes)).files]


async def test_one_changing_log_file_blocks_no_share(tmp_path: Path) -> None:
    """It names itself and the option; left out, the mod stays the same whatever it holds."""
    folder = write_files(tmp_path / "hats", {"hat": os.urandom(100_000), "logs/latest.log": b"1"})
    async with content_node(tmp_path / "node") as node:

        def grow(_: object) -> None:
            with (folder / "logs" / "latest.log").open("ab") as log:
                log.write(b"one more line\n")

        with pytest.raises(BadFolder, match=r"'logs/latest.log' changed while it was read") as told:
            await node.publisher.publish(folder, report=grow)
        assert str(told.value).endswith('leave the file out with --exclude "/logs/latest.log"')
        first = await node.publisher.publish(folder, report=grow, exclude=["/logs/latest.log"])
        assert (first.files, first.left_out, first.left_out_paths) == (1, 1, ("logs/latest.log",))
        again = await node.publisher.publish(folder, report=grow, exclude=["*.log"])
        assert (again.mod_id, again.new_bytes, again.left_out_paths) == (
            first.mod_id,
            0,
            ("logs/latest.log",),
        )
        without = await node.publisher.publish(folder, report=grow, exclude=["logs/"])
        assert without.mod_id != first.mod_id, "the empty folder is left out as well"
        assert (without.new_bytes, without.left_out_paths) == (0, ("logs/",))
        write_files(folder, {IGNORE_FILE: b"*.log\n"})
        third = await node.publisher.publish(folder, report=grow)
        assert (third.version, third.new_bytes, third.left_out) == (3, 0, 2)
        assert third.left_out_paths == (IGNORE_FILE, "logs/latest.log")


def test_the_options_come_after_the_file_and_the_last_word_counts(tmp_path: Path) -> None:
    files = {IGNORE_FILE: b"*.log\n!keep.log\n/saves/\n", "a.log": b"", "keep.log": b""}
    folder = write_files(tmp_path / "mod", files | {"saves/x": b"", "in/saves/x": b"", "b": b""})
    assert shared(folder) == ["b", "in/saves/x", "keep.log"]
    assert shared(folder, "!a.log", "keep.log", "b") == ["a.log", "in/saves/x"]
    assert shared(folder, "*", "!b") == ["b"]
    with pytest.raises(BadFolder, match="all that it has is left out"):
        shared(folder, "!b", "*")
    assert shared(folder, "!/saves/") == ["b", "in/saves/x", "keep.log", "saves/x"]


def test_a_file_of_rules_counts_for_its_folder_and_is_left_out_itself(tmp_path: Path) -> None:
    files = {
        IGNORE_FILE: b"*.log\n/in/tmp\n",
        f"in/{IGNORE_FILE}": b"!keep.log\n/x\nsub/y\n",
        f"in/sub/{IGNORE_FILE}": b"x\n!y\n",
        **dict.fromkeys(("x", "in/x", "in/sub/x", "in/sub/y", "in/sub/z", "in/tmp/a"), b""),
        **dict.fromkeys(("keep.log", "in/keep.log", "in/sub/keep.log", "in/other.log"), b""),
    }
    folder = write_files(tmp_path / "mod", files)
    kept = ["in/keep.log", "in/sub/keep.log", "in/sub/y", "in/sub/z", "x"]
    assert shared(folder) == kept
    assert shared(folder, "!/in/x", "z", "/x") == ["in/keep.log", *kept[1:3], "in/x"]
    assert shared(folder / "in") == [
        "keep.log",
        "other.log",
        "sub/keep.log",
        "sub/y",
        "sub/z",
        "tmp/a",
    ]
    write_files(folder, {f"in/sub/{IGNORE_FILE}": b"a\n[b\n"})
    with pytest.raises(BadInput, match=r"line 2 of in/sub/.modswarmignore: "):
        shared(folder)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_of_windows_are_read_as_well(tmp_path: Path, ending: str, mark: str) -> None:
    lines = ["*.log", "", "# a comment", "モッド/", "space\\ ", "trailing  "]
    write_files(tmp_path / "mod", {IGNORE_FILE: (mark + ending.join(lines)).encode()})
    write_files(tmp_path / "mod", {"a.log": b"", "モッド/x": b"", "trailing": b"", "b": b""})
    assert shared(tmp_path / "mod") == ["b"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"caf\xe9\n", "is no UTF-8 at byte 3; save it as UTF-8"),
        ("*.log".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("*.log".encode("utf-16-le"), "holds a NUL character"),
        (b"#" * (limits.IGNORE_FILE_BYTES + 1), "has more than 65536 bytes"),
        (b"a\n" * (limits.IGNORE_PATTERNS + 1), "more than 1024 patterns"),
        (b"ok\n" + b"a" * 1025, "line 2 of .modswarmignore: it is longer than 1024 characters"),
        (b"a[b\n", "line 1 of .modswarmignore: 'a.b' has a bracket that is not closed"),
        (b"a\\\n", "line 1 of .modswarmignore: .* is no pattern of gitignore"),
        (b"./a\n", "has an empty part, or the part . or .., which no path has"),
        (b"../a\n", "which no path has"),
        (b"a//b\n", "has an empty part"),
        (b"/\n", "has an empty part"),
        (b"[[:digit:]]\n", "brackets that programs read differently"),
        (b"[z-a]\n", "is no pattern of gitignore"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    """What it should have left out would be published otherwise."""
    write_files(tmp_path / "mod", {IGNORE_FILE: data, "x": b"1"})
    with pytest.raises(BadInput, match=reason):
        shared(tmp_path / "mod")


@pytest.mark.skipif(os.name == "nt", reason="links are made the POSIX way")
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
def test_rules_that_are_no_file_are_refused(tmp_path: Path, kind: str) -> None:
    place = write_files(tmp_path / "mod", {"x": b"1", "rules": b"x"}) / IGNORE_FILE
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to("rules" if kind == "link" else "nothing")
    with pytest.raises(BadFolder, match=IGNORE_FILE):
        shared(tmp_path / "mod")


@pytest.mark.parametrize("pattern", ["#notes", " ", "a[b", "x\\"])
def test_an_option_that_leaves_nothing_out_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(BadInput, match="--exclude"):
        shared(write_files(tmp_path / "mod", {"x": b"1"}), pattern)


def test_where_all_is_left_out_that_is_told(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "mod", {"x": b"1", "a/y": b"1"})
    for place in (folder, folder / "x"):
        with pytest.raises(BadFolder, match="has no files: all that it has is left out"):
            shared(place, "*")


@pytest.mark.skipif(os.name == "nt", reason="links are made the POSIX way")
def test_what_is_left_out_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not looked into, whatever it is or has."""
    folder = write_files(tmp_path / "mod", {"x": b"1", "out/a:b": b"1", "c?d": b"1", "Y": b"1"})
    (folder / "link").symlink_to("/etc")
    (folder / "y").symlink_to("nothing")
    os.mkfifo(folder / "pipe")
    listed: list[int] = []
    scandir = os.scandir

    def listing(place: Path | int) -> object:
        status = os.fstat(place) if isinstance(place, int) else Path(place).stat()
        listed.append(status.st_ino)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", listing)
    assert shared(folder, "out", "c[?]d", "link", "y", "pipe") == ["Y", "x"]
    assert (folder / "out").stat().st_ino not in listed
    assert folder.stat().st_ino in listed


async def test_a_home_that_is_left_out_whole_is_not_shared_and_in_nobodys_way(
    tmp_path: Path,
) -> None:
    await made_home(tmp_path / "mods" / "server" / "home")
    write_files(tmp_path / "mods", {"x": b"1", "server/y": b"1"})
    assert shared(tmp_path / "mods", "home/") == ["server/y", "x"]
    assert shared(tmp_path / "mods", "/server") == ["x"]
    with pytest.raises(UnsafePath, match="is the home of a node"):
        shared(tmp_path / "mods", "/server/home/*")
    write_files(tmp_path / "mods", {f"server/{IGNORE_FILE}": b"/home\n"})
    guard = HomeGuard(tmp_path / "mods" / "server" / "home")
    for known in (GUARD, guard):
        found = walk.walk(tmp_path / "mods", known, LeavingOut())
        assert [file.path for file in found.files] == ["server/y", "x"]


def test_patterns_cost_little_whatever_they_are(tmp_path: Path) -> None:
    """By backtracking the first would take longer than there is time; work is counted besides."""
    name = "a" * 240
    folder = write_files(tmp_path / "mod", {f"{name}/{name}/{name}": b""})
    patterns = [
        "*a" * 120 + "b",
        "**/a*/" * 60 + "b",
        "**/*a*a*a*a*a*a*a*a*c",
        "[a-z]*" * 60 + "?b",
    ]
    assert shared(folder, *patterns) == [f"{name}/{name}/{name}"]


def test_more_work_than_a_share_is_worth_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_files(tmp_path / "mod", {f"{number}": b"" for number in range(50)})
    patterns = [f"x{number}" for number in range(20)]
    monkeypatch.setattr(limits, "IGNORE_WORK", 1000)
    assert len(shared(folder, *patterns)) == 50
    monkeypatch.setattr(limits, "IGNORE_WORK", 999)
    with pytest.raises(BadInput, match="take too long for so many files; use fewer"):
        shared(folder, *patterns)


@pytest.mark.parametrize("name", ["a.log", "a*b", "a[1].txt", "#a", "モッド", "a b"])
def test_the_option_that_is_proposed_leaves_out_that_file_alone(tmp_path: Path, name: str) -> None:
    if os.name == "nt":
        pytest.skip("Windows has no such names")
    write_files(tmp_path / "mod", {f"in/{name}": b"", "in/aXb": b"", "in/a1.txt": b""})
    proposed = option_for(f"in/{name}")
    assert proposed.startswith('--exclude "')
    rules = LeavingOut.of([proposed.removeprefix('--exclude "').removesuffix('"')])
    assert rules.covers(f"in/{name}", is_folder=False)
    assert not rules.covers("in/aXb", is_folder=False)
    assert not rules.covers("in/a1.txt", is_folder=False)
    for hard in ("$HOME", "`a`", "a b ", "!!", "a\\b", "%PATH%", 'a"', "a\n", "n" * 99):
        assert option_for(hard) == "--exclude"


async def test_each_pattern_that_was_given_in_vain_is_told(tmp_path: Path) -> None:
    write_files(tmp_path / "mod", {"a.log": b"", "logs/b.txt": b"", "c": b""})
    given = ("*.tmp", "*.log", "!a.log", "/logs/", "/logs/b.txt", "C", "*.tmp")
    async with content_node(tmp_path / "node") as node:
        made = await node.publisher.publish(tmp_path / "mod", exclude=given)
    assert made.idle_excludes == ("*.log", "/logs/b.txt", "C", "*.tmp")


def test_the_command_asks_for_it_and_tells_it(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("share", "hats", "--exclude", "*.log", "--exclude", "/saves/") == 0
    assert node.sharing.excluded == ("*.log", "/saves/")
    assert "Nothing was left out: the patterns mean no file here." in capsys.readouterr().err
    node.sharing.left_out = tuple(f"{number}.log" for number in range(12))
    assert status_of("share", "hats") == 0
    told = capsys.readouterr().err
    assert "Left out: '0.log', '1.log', '2.log', '3.log'" in told
    assert told.splitlines()[1].endswith("'9.log', and 2 more.")
    node.sharing.idle = ("*.tmp", "/old/")
    assert status_of("share", "hats", "--exclude", "*.log") == 0
    told = capsys.readouterr().err
    assert "--exclude '*.tmp' changed nothing.\n--exclude '/old/' changed nothing.\n" in told
    assert told_by(capsys, "share", "hats")["left_out"] == 12
    assert status_of("share", "hats", "--exclude", " ") == 2
    assert status_of("share", "hats", *["--exclude", "x"] * 64) == 0
    capsys.readouterr()
    assert status_of("share", "hats", *["--exclude", "x"] * 65) == 2
    assert "'exclude' has more than 64 items" in capsys.readouterr().err


def test_the_command_lists_what_stands_in_the_way(
    node: FakeNode, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_files(tmp_path / "mod", {f"モッド{number:02}:": b"" for number in range(23)})
    with pytest.raises(BadFolder) as raised:
        shared(tmp_path / "mod")
    node.failure = raised.value
    assert status_of("share", "mod") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("mod cannot be shared as it is: 23 things stand in the way:")
    assert lines[1].startswith("  the path 'モッド00:' has one of the characters")
    assert (len(lines), lines[-1]) == (22, "  and 3 more")
    told = told_by(capsys, "share", "mod", status=2)["error"]
    assert (told["name"], told["details"]["more"]) == ("folder_problems", 3)
    assert len(told["details"]["problems"]) == 20
