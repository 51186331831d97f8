"""The queue of downloads, from the command line to the running node."""

from typing import Any

import pytest

from node.content.progress import Progress
from node.faces.api.forms import to_json
from node.faces.cli import exits
from node.faces.cli.bars import rate, time_left
from tests.node.faces.commands import status_of, told_by
from tests.node.faces.fake_node import LINK, FakeNode


def listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    downloads: list[dict[str, Any]] = told_by(capsys, "downloads")["downloads"]
    return downloads


def test_a_download_in_the_queue_is_listed_paused_resumed_and_cancelled(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.sharing.hold = True
    told = told_by(capsys, "get", str(LINK), "--to", "out", "--detach", "--priority", "high")
    assert (told["id"], told["priority"], told["watched"]) == (1, "high", False)
    (one,) = listed(capsys)
    assert (one["state"], one["name"], one["progress"]["bytes_done"]) == ("active", "hats", 5)
    assert "link" not in one
    told = told_by(capsys, "pause", str(LINK))
    assert (told["state"], told["name"]) == ("paused", "hats")
    status_of("downloads")
    assert capsys.readouterr().out.splitlines()[1].split()[4:6] == ["50", "%"]
    told = told_by(capsys, "resume", "hats", "--priority", "low")
    assert (told["priority"], told["name"]) == ("low", "hats")
    status_of("downloads")
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[:5] == ["1", "hats", "active", "low", "50"]
    assert status_of("cancel", "1") == exits.OK
    said = capsys.readouterr().out
    assert "Cancelled download 1" in said
    assert "5 B of it stay in the vault" in said
    assert listed(capsys) == []
    status_of("downloads")
    assert "No downloads" in capsys.readouterr().out


def test_what_changes_nothing_of_a_download_says_so(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.sharing.hold = True
    told_by(capsys, "get", str(LINK), "--to", "out", "--detach")
    said = []
    for words in (("resume", "1"), ("resume", "1", "--priority", "low")):
        assert status_of(*words) == exits.OK
        said.append(capsys.readouterr().out.strip())
    assert said == [
        "Download 1 (hats) goes on already.",
        "Download 1 (hats) goes on, with priority low.",
    ]


def test_a_download_that_has_ended_is_forgotten(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    told_by(capsys, "get", str(LINK), "--to", "out", "--detach")
    assert listed(capsys)[0]["state"] == "done"
    assert status_of("cancel", "1") == exits.OK
    assert capsys.readouterr().out.strip() == "Forgot download 1 (hats), which was done."


@pytest.mark.parametrize("command", ["pause", "resume", "cancel"])
def test_what_is_no_download_is_not_found(
    node: FakeNode, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    for name in ("7", "caps", str(LINK)):
        assert status_of(command, name) == exits.NOT_FOUND
        assert "`modswarm downloads` lists them" in capsys.readouterr().err


def test_nothing_is_said_of_a_rate_that_is_not_known() -> None:
    assert (rate(to_json(Progress("chunks"))), time_left(to_json(Progress("chunks")))) == ("-", "-")
    fast = to_json(Progress("chunks", bytes_per_second=2_000_000, left_s=90))
    assert (rate(fast), time_left(fast)) == ("2.0 MB/s", "1 min 30 s")
