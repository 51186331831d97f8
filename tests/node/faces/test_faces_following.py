"""Links that are followed, and keys that are exported: what others on the machine can read."""

import io
import stat
import sys
from pathlib import Path

import click
import pytest

from node.faces.cli import exits
from protocol import limits
from tests.node.faces.commands import status_of
from tests.node.faces.fake_following import LINEAGE
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
