"""Limits of rates, from the command line to the running node."""

import pytest

from node.faces.cli import exits
from tests.node.faces.commands import status_of, told_by
from tests.node.faces.fake_node import FakeNode


def test_limits_are_shown_and_changed_at_run_time(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told_by(capsys, "limits")["up"]["all_peers"] is None
    told = told_by(capsys, "limits", "--up", "2M", "--down-per-peer", "500kB/s")
    assert (told["up"]["all_peers"], told["up"]["set_by"]) == (2_000_000, "command")
    assert (told["down"]["all_peers"], told["down"]["set_by"]) == (None, "config")
    assert (told["down"]["each_peer"], told["down"]["each_set_by"]) == (500_000, "command")
    assert node.transfers.up.rate.is_limited
    assert told_by(capsys, "limits", "--up", "off")["up"]["all_peers"] is None
    assert told_by(capsys, "limits", "--up", "config")["up"]["set_by"] == "config"
    status_of("limits", "--up", "1.5M")
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].split() == ["to", "peers", "1.5", "MB/s", "command", "off", "-", "-"]
    assert rows[2].split() == ["from", "peers", "off", "-", "500.0", "kB/s", "command", "-"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", "write off for no limit"),
        ("16Mbit", "that is 2.0 MB/s"),
        ("", "or off"),
        ("1k", "10.0"),
    ],
)
def test_what_is_no_rate_is_bad_input(
    node: FakeNode, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert status_of("limits", "--up", "1M", "--down", text) == exits.USAGE
    assert said in capsys.readouterr().err
    assert status_of("run", "--limit-up", text) == exits.USAGE
    assert said in capsys.readouterr().err
    assert not node.transfers.up.rate.is_limited
