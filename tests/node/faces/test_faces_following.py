"""Links that are followed, and keys that are exported: what others on the machine can read."""

import io
import re
import shlex
import stat
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest

from node.faces.cli import exits
from protocol import limits
from protocol.content.lineage.export import parse_export
from protocol.errors import BadInput
from tests.node.faces.commands import status_of
from tests.node.faces.fake_following import FOLLOW, LINEAGE, OWN
from tests.node.faces.fake_node import FakeNode
from tests.node.faces.test_faces_terminal import Terminal


@pytest.mark.parametrize("verb", [("follow", "--to", "hats", "--yes"), ("versions",)])
def test_the_link_need_not_stand_on_the_command_line(
    verb: tuple[str, ...], node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link.txt").write_text(f"{LINEAGE}\n")
    monkeypatch.setattr(click.termui, "hidden_prompt_func", lambda _: f" {LINEAGE} ")
    for words, given in (
        (["-"], io.StringIO(str(LINEAGE))),
        (["--link-file", "link.txt"], io.StringIO()),
        ([], Terminal()),
    ):
        node.asked.clear()
        monkeypatch.setattr(sys, "stdin", given)
        assert status_of(*verb, *words) == exits.OK
        assert node.asked[-1][:2] == (verb[0], LINEAGE)


def test_a_bound_beyond_all_mods_is_that_of_all_mods(node: FakeNode) -> None:
    """What the vault could not write down is no bound."""
    words = ("--to", "hats", "--yes", str(LINEAGE), "--max-size")
    for size in ("5TB", "99999999999TB"):
        assert status_of("follow", *words, size) == exits.OK
        assert node.asked[-1][4] == limits.MOD_BYTES


def test_a_yes_tells_for_which_version(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("follow", "hats", "--accept") == exits.OK
    assert capsys.readouterr().out == "Version 3 of hats comes.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="names no path has there")
def test_a_publisher_s_name_for_a_mod_is_no_part_of_a_command_to_copy(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may hold what a shell takes for commands of its own."""
    hostile = "hats; touch made; $(touch made) `touch made`"
    node.following.followed = [replace(FOLLOW, name=hostile, path="/games/my hats")]
    assert status_of("follow") == exits.OK
    (command,) = re.findall(r"`(modswarm follow --accept .*)` takes it", capsys.readouterr().err)
    assert shlex.split(command) == ["modswarm", "follow", "--accept", "/games/my hats"]
    node.sharing.versions.taken_over = replace(OWN, name=hostile)
    (tmp_path / "keys.txt").write_text("keys")
    assert status_of("lineage", "import", "keys.txt") == exits.OK
    told = capsys.readouterr().out.strip()
    command = told[told.index("`modswarm") :].removeprefix("`").removesuffix("`.")
    assert shlex.split(command) == ["modswarm", "share", "DIR", "--as", hostile]


@pytest.mark.parametrize("verb", [("follow", "--back"), ("unfollow",)])
def test_a_mod_that_is_called_as_another_ones_folder_is_not_taken_for_it(
    verb: tuple[str, ...],
    node: FakeNode,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    meant = replace(FOLLOW, name="hats", path=str(tmp_path / "caps"))
    other = replace(FOLLOW, name="caps", path=str(tmp_path / "other"), lineage=bytes(32))
    node.following.followed = [meant, other]
    assert status_of(*verb, "caps") == exits.USAGE
    told = capsys.readouterr().err
    assert meant.path in told
    assert other.path in told
    assert status_of(*verb, meant.path) == exits.OK
    assert node.asked[-1] == (verb[-1].removeprefix("--"), meant.lineage)


def test_an_empty_file_is_told_as_such(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys.txt").write_text("\n")
    assert status_of("lineage", "import", "keys.txt") == exits.USAGE
    assert (
        "keys.txt is empty: give a file that `modswarm lineage export`" in capsys.readouterr().err
    )
    assert node.asked == []


def test_exported_keys_are_the_person_s_alone_and_replace_no_file(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("lineage", "export", "hats", "keys.txt") == exits.OK
    made = tmp_path / "keys.txt"
    assert made.read_text() == "modswarm-lineage:abc\n"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600 or sys.platform == "win32"
    assert "modswarm-lineage:" not in "".join(capsys.readouterr())
    made.write_text("mine")
    assert status_of("lineage", "export", "hats", "keys.txt") == exits.USAGE
    assert made.read_text() == "mine"
    if sys.platform != "win32":  # where links need a right
        (tmp_path / "link").symlink_to(tmp_path / "on a disk that is not there")
        assert status_of("lineage", "export", "hats", "link") == exits.USAGE
        assert (tmp_path / "link").is_symlink()


def test_versions_tell_where_the_list_ends_and_why(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("versions", str(LINEAGE)) == exits.OK
    assert "is not known" not in capsys.readouterr().err
    node.following.unknown_before, node.following.message = 3, "no source serves this mod"
    assert status_of("versions", str(LINEAGE)) == exits.OK
    told = capsys.readouterr()
    assert told.err == "What came before version 3 is not known: no source serves this mod.\n"
    assert told.out.startswith("VERSION")


@pytest.mark.parametrize("verb", [("follow", "--back"), ("unfollow",)])
def test_a_followed_folder_is_known_by_a_path_through_a_link_too(
    verb: tuple[str, ...], node: FakeNode, tmp_path: Path
) -> None:
    place = tmp_path / "real" / "hats"
    place.mkdir(parents=True)
    (tmp_path / "games").symlink_to(tmp_path / "real")
    node.following.followed = [replace(FOLLOW, path=str(place.resolve()))]
    for path in (place, tmp_path / "games" / "hats", Path("games", "hats")):
        assert status_of(*verb, str(path)) == exits.OK
    assert status_of(*verb, str(tmp_path / "other")) == exits.NOT_FOUND


def test_one_version_is_not_followed(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("follow", f"{LINEAGE}@2", "--to", "hats") == exits.USAGE
    assert "@2 names one version" in capsys.readouterr().err
    assert node.asked == []


def test_a_file_that_is_no_exported_mod_is_told_as_such_however_large(
    node: FakeNode, tmp_path: Path
) -> None:
    place = tmp_path / "keys.txt"
    place.write_bytes(b"x" * 10**6)
    assert status_of("lineage", "import", str(place)) == exits.OK
    ((verb, text),) = node.asked
    assert verb == "import"
    with pytest.raises(BadInput, match="not an exported mod"):
        parse_export(text)
