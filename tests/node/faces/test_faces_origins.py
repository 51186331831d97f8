"""Origins on the command line: named by share, and asked about by get, once for each mod."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.content.origins.consent import OriginConsent
from node.faces.cli import exits
from protocol.content.link import parse
from tests.node.faces.commands import status_of, told_by
from tests.node.faces.fake_following import LINEAGE
from tests.node.faces.fake_node import LINK, MOD_ID, FakeNode

ORIGIN, OTHER = "https://mods.example/files", "http://other.example"


def test_share_names_origins_in_the_link(
    node: FakeNode, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    origins = ["--origin", "HTTPS://mods.example:443/files/", "--origin", OTHER]
    assert status_of("share", str(tmp_path), *origins) == exits.OK
    assert parse(capsys.readouterr().out).origins == (ORIGIN, OTHER)


@pytest.mark.parametrize("url", ["mods.example", "https://ann:x@mods.example", "ftp://a.example"])
def test_share_refuses_what_is_no_origin_before_anything_is_shared(
    node: FakeNode, capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str
) -> None:
    assert status_of("share", str(tmp_path), "--origin", url) == exits.USAGE
    assert "origin" in capsys.readouterr().err
    assert not [one for one in node.asked if one[0] == "share"]


def test_without_a_word_and_a_terminal_no_origin_is_asked(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    link = replace(LINK, origins=(ORIGIN,))
    assert status_of("get", str(link)) == exits.OK
    assert "--origins yes" in capsys.readouterr().err
    assert not node.sharing.origins.consent.agreed(LINK.mod_id, ORIGIN)


@pytest.mark.parametrize(("word", "agreed"), [("yes", True), ("no", False)])
def test_what_is_said_is_remembered_for_the_mod_and_its_origins(
    node: FakeNode, capsys: pytest.CaptureFixture[str], word: str, agreed: bool
) -> None:
    link = replace(LINK, origins=(ORIGIN,))
    assert status_of("get", str(link), "--origins", word) == exits.OK
    capsys.readouterr()
    assert status_of("get", str(link)) == exits.OK
    assert "HTTP" not in capsys.readouterr().err
    consent = OriginConsent(node.home.path / "origins.json")
    assert consent.agreed(LINK.mod_id, ORIGIN) is agreed
    assert not consent.agreed(LINK.mod_id, OTHER)
    assert not consent.agreed(bytes(32), ORIGIN)
    assert status_of("get", str(replace(link, origins=(ORIGIN, OTHER)))) == exits.OK
    assert "--origins yes" in capsys.readouterr().err, "a new origin was taken for an old one"


@pytest.mark.parametrize(
    ("typed", "agreed"), [("y\ny\n", True), ("n\ny\n", False), ("\ny\n", False)]
)
def test_a_person_at_a_terminal_is_asked_once(
    node: FakeNode,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    agreed: bool,
) -> None:
    answers = iter(typed.splitlines())
    monkeypatch.setattr("node.faces.cli.mods.at_a_terminal", lambda: True)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: next(answers))
    link = replace(LINK, origins=(ORIGIN,))
    assert status_of("get", str(link)) == exits.OK
    told = capsys.readouterr().err
    assert ORIGIN in told
    assert "learn the address of this computer" in told
    assert node.sharing.origins.consent.answer(LINK.mod_id, (ORIGIN,)) is agreed
    answers = iter(["y"])
    assert status_of("get", str(link)) == exits.OK
    assert ORIGIN not in capsys.readouterr().err


def test_export_writes_a_mod_by_its_name_and_says_what_to_do_with_it(
    node: FakeNode, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert status_of("export", "hats", str(tmp_path)) == exits.OK
    assert ("export", MOD_ID, tmp_path) in node.asked
    told = capsys.readouterr()
    assert str(tmp_path / "a.chunks") in told.out
    assert "--origin https://SERVER/FOLDER" in told.err
    assert told_by(capsys, "export", "hats", str(tmp_path))["bytes"] == 9000
    assert status_of("export", "gloves", str(tmp_path)) == exits.NOT_FOUND


def test_a_damaged_memory_asks_again(tmp_path: Path) -> None:
    path = tmp_path / "origins.json"
    for text in ("{", "[]", '{"format": 2, "answers": {}}', '{"format": 1, "answers": {"a": 1}}'):
        path.write_text(text)
        assert OriginConsent(path).answer(bytes(32), (ORIGIN,)) is None
    consent = OriginConsent(path)
    consent.remember(bytes(32), (ORIGIN,), agreed=True)
    assert OriginConsent(path).agreed(bytes(32), ORIGIN)
    assert path.stat().st_mode & 0o77 == 0


def test_follow_asks_for_all_versions_of_a_mod(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also for what only the mod's record names, and each new origin anew."""
    key = LINEAGE.lineage_key
    line = ("follow", str(LINEAGE), "--to", "hats")
    assert status_of(*line) == exits.OK
    assert "HTTP" not in capsys.readouterr().err
    node.following.named = (ORIGIN,)
    assert status_of(*line) == exits.OK
    assert "--origins yes" in capsys.readouterr().err
    assert not node.sharing.origins.consent.agreed(key, ORIGIN)
    assert status_of(*line, "--origins", "yes") == exits.OK
    consent = OriginConsent(node.home.path / "origins.json")
    assert consent.agreed(key, ORIGIN)
    assert not consent.agreed(key, OTHER)
    capsys.readouterr()
    node.following.named = (ORIGIN, OTHER)
    assert status_of(*line) == exits.OK
    assert "--origins yes" in capsys.readouterr().err
