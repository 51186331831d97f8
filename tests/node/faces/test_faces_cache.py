"""cache: what its commands ask the node, and what they tell of it."""

import pytest

from node.faces.cli import exits
from protocol.identity import base32_text
from tests.node.faces.commands import status_of, told_by
from tests.node.faces.fake_node import LINK, MOD_ID, FakeNode

CACHED = base32_text(MOD_ID)
REFUSED = base32_text(bytes(32))
UNKNOWN = base32_text(bytes([9]) * 32)


def test_list_shows_what_is_kept_and_what_never_is(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("cache", "list") == 0
    printed = capsys.readouterr().out
    (row,) = [line for line in printed.splitlines() if line.startswith(CACHED)]
    assert row.split()[1:] == ["9.0", "kB", "5", "yes"]
    assert "9.0 kB of 20.0 kB" in printed
    assert f"Refused  {REFUSED}" in printed
    told = told_by(capsys, "cache", "list")
    assert [mod["mod_id"] for mod in told["mods"]] == [CACHED]
    assert node.asked == [("cache",)] * 2


@pytest.mark.parametrize(
    ("command", "words", "asked", "said"),
    [
        ("drop", CACHED, MOD_ID, "Dropped"),
        ("drop", CACHED[:8].upper(), MOD_ID, "Dropped"),
        ("drop", str(LINK), LINK.mod_id, "Dropped"),
        ("drop", UNKNOWN, bytes([9]) * 32, "It was not in the cache:"),
        ("refuse", CACHED, MOD_ID, "Dropped, and refused from now on:"),
        ("refuse", UNKNOWN, bytes([9]) * 32, "Refused from now on:"),
        ("allow", REFUSED[:10], bytes(32), "Allowed again:"),
        ("allow", CACHED, MOD_ID, "It was not refused:"),
    ],
)
def test_a_mod_is_dropped_refused_and_allowed(
    node: FakeNode,
    capsys: pytest.CaptureFixture[str],
    *,
    command: str,
    words: str,
    asked: bytes,
    said: str,
) -> None:
    assert status_of("cache", command, words) == 0
    assert node.asked[-1] == (command, asked)
    assert capsys.readouterr().out.startswith(f"{said} {base32_text(asked)}")
    told = told_by(capsys, "cache", command, words)
    assert told["mod_id"] == base32_text(asked)


@pytest.mark.parametrize("words", [CACHED[:7], UNKNOWN[:10], "", "-"])
def test_what_names_no_mod_changes_nothing(
    node: FakeNode, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    for command in ("drop", "refuse", "allow"):
        assert status_of("cache", command, words) == exits.USAGE
        assert capsys.readouterr().err
    assert [one for one in node.asked if one != ("cache",)] == []
