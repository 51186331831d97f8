"""What `share` says of versions, and what it asks a person about them."""

import io
import sys
from pathlib import Path

import pytest

from node.faces.cli import exits
from node.faces.cli.versions import sharing
from tests.node.faces.commands import status_of
from tests.node.faces.fake_node import LINK, FakeNode


def test_share_tells_the_version_and_the_link_to_follow(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.sharing.version = 3
    assert status_of("share", "hats") == 0
    told = capsys.readouterr()
    assert told.out == f"{LINK}\n"
    assert "Sharing version 3 of hats: 2 files" in told.err
    assert f"as it comes:\n{node.sharing.lineage}\nAnnounced at" in told.err
    node.sharing.is_new = False
    assert status_of("share", "hats") == 0
    assert "nothing has changed since version 3." in capsys.readouterr().err


def test_as_continues_a_mod_and_no_times_tells_none(node: FakeNode, tmp_path: Path) -> None:
    assert status_of("share", "hats", "--as", "Fine hats", "--no-times") == 0
    assert node.asked[-1] == ("share", tmp_path / "hats", "Fine hats")
    assert (node.sharing.continued, node.sharing.times) == (True, False)
    assert status_of("share", "hats") == 0
    assert (node.sharing.continued, node.sharing.times) == (False, True)
    assert status_of("share", "hats", "--as", "Hats", "--name", "Hats") == exits.USAGE


def test_a_name_that_another_folder_has_is_refused_without_a_person(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.sharing.taken_from = "/mine/hats"
    assert status_of("share", "hats") == exits.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert "/mine/hats" in told.err


@pytest.mark.parametrize(
    ("answer", "status"), [("y", 0), ("n", exits.FAILURE), ("", exits.FAILURE)]
)
def test_a_person_is_asked_whether_another_folder_is_the_next_version(
    answer: str,
    status: int,
    node: FakeNode,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{answer}\n"))
    monkeypatch.setattr(sharing, "at_a_terminal", lambda: True)
    node.sharing.taken_from = "/mine/hats"
    assert status_of("share", "hats") == status
    told = capsys.readouterr()
    assert "/mine/hats" in told.err
    assert "Is it the next version of that mod?" in told.err
    assert told.out == (f"{LINK}\n" if answer == "y" else "")
    assert node.sharing.continued is (answer == "y")
