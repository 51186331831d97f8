"""Origins on the command line: named by share, and asked about by get, once for each mod."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest

from node.content.origins.consent import OriginConsent
from node.faces.cli import exits
from protocol.content.link import AnyLink, parse
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


def test_share_again_keeps_the_origins_until_others_or_none_are_given(
    node: FakeNode, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def links(*words: str) -> tuple[tuple[str, ...], str]:
        assert status_of("share", str(tmp_path), *words) == exits.OK
        told = capsys.readouterr()
        return parse(told.out).origins, told.err

    assert links("--origin", ORIGIN) == ((ORIGIN,), ANY)
    origins, told = links()
    assert origins == (ORIGIN,)
    assert f"The links name {ORIGIN} beside peers; `--origin none` takes them out." in told
    assert told_by(capsys, "share", str(tmp_path))["origins"] == [ORIGIN]
    origins, told = links("--origin", "none")
    assert origins == ()
    assert "The links name" not in told
    assert links() == ((), ANY)
    assert status_of("share", str(tmp_path), "--origin", "none", "--origin", ORIGIN) == exits.USAGE
    assert "no other --origin goes with it" in capsys.readouterr().err


def test_share_names_no_server_that_readers_do_not_connect_to(
    node: FakeNode, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for url in ("http://192.168.1.7/mods", "http://localhost:8080"):
        assert status_of("share", str(tmp_path), "--origin", url) == exits.USAGE
        assert "config.toml" in capsys.readouterr().err
    assert not [one for one in node.asked if one[0] == "share"]


@pytest.mark.parametrize("link", [replace(LINK, origins=(ORIGIN,)), LINEAGE])
def test_a_node_that_hides_its_address_says_that_it_asks_none(
    node: FakeNode, capsys: pytest.CaptureFixture[str], link: AnyLink
) -> None:
    node.following.named = (ORIGIN,)
    node.sharing.origins.hidden = True
    for words in ((), ("--origins", "yes"), ()):
        assert status_of("get", str(link), *words) == exits.OK
        told = capsys.readouterr().err
        assert (
            "This node hides its address, so no HTTP server that the link names is asked." in told
        )
        assert "--origins yes" not in told
    assert status_of("get", str(link), "--origins", "no") == exits.OK
    assert "HTTP" not in capsys.readouterr().err


def test_a_get_from_servers_alone_tells_of_no_lookup(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("get", str(LINK)) == exits.OK
    assert "Looked up in" in capsys.readouterr().out
    node.sharing.sources = (ORIGIN,)
    assert status_of("get", str(LINK)) == exits.OK
    told = capsys.readouterr().out
    assert "from 1 origin" in told
    assert "Looked up in" not in told
    assert "Linked in" not in told
    node.sharing.sources = (ORIGIN, "pabc")
    assert status_of("get", str(LINK)) == exits.OK
    assert "Looked up in" in capsys.readouterr().out


def test_a_yes_for_a_lineage_s_link_needs_no_version_of_it(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its manifest may be at such a server alone, so the question comes before it is fetched."""
    node.following.named = (ORIGIN,)
    assert status_of("get", str(LINEAGE), "--origins", "yes") == exits.OK
    verbs = [one[0] for one in node.asked]
    assert verbs.index("origins") < verbs.index("resolve")
    assert node.sharing.origins.consent.agreed(LINEAGE.lineage_key, ORIGIN)
    capsys.readouterr()
    assert status_of("get", str(LINEAGE)) == exits.OK
    assert "HTTP" not in capsys.readouterr().err


def test_what_is_said_of_a_lineage_holds_for_its_versions(tmp_path: Path) -> None:
    consent, key, mod_id = OriginConsent(tmp_path / "origins.json"), b"k" * 32, b"m" * 32
    consent.carry(key, mod_id, (ORIGIN, OTHER))
    assert consent.answer(mod_id, (ORIGIN,)) is None
    consent.remember(key, (ORIGIN,), agreed=True)
    consent.carry(key, mod_id, (OTHER,))
    assert consent.answer(mod_id, (ORIGIN,)) is None, "this version does not name it"
    consent.carry(key, mod_id, (ORIGIN, OTHER))
    assert OriginConsent(tmp_path / "origins.json").agreed(mod_id, ORIGIN)
    assert consent.answer(mod_id, (OTHER,)) is None
    consent.remember(key, (ORIGIN,), agreed=False)
    consent.carry(key, mod_id, (ORIGIN, OTHER))
    assert consent.answer(mod_id, (ORIGIN,)) is False


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
