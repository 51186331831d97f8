"""15: links, peer ids and addresses are taken as people paste them, at every door."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import click
import pytest

from node.config import Config, load
from node.diagnosis import parse_target
from node.faces.cli import exits
from node.machine.control_file import read_control
from protocol import limits, records
from protocol.content.link import ModLink
from protocol.errors import BadAddress, BadConfig
from protocol.identity import base32_text, peer_id_text
from tests.node.faces.commands import status_of
from tests.node.faces.fake_node import LINK, MOD_ID, PEER, FakeNode, served, served_in_thread
from tests.protocol.texts.pasted import OF_LINKS, WHOLE

WRAPPINGS = WHOLE | OF_LINKS
OTHER = ModLink(bytes(32), bytes(32))
ON_A_COMMAND_LINE = {name for name in WRAPPINGS if name != "a NUL"}
"""Where no argument holds a NUL."""
IDS = sorted(ON_A_COMMAND_LINE)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeNode]:
    """One node for all cases: it keeps nothing but what it was asked last."""
    folder = tmp_path_factory.mktemp("pasted")
    with pytest.MonkeyPatch.context() as patch, served_in_thread(folder / "home") as node:
        patch.setenv("MODSWARM_HOME", str(folder / "home"))
        patch.chdir(folder)
        yield node


class Terminal(io.StringIO):
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("name", IDS)
def test_get_takes_a_link_as_it_was_pasted(shared: FakeNode, name: str) -> None:
    assert status_of("get", WRAPPINGS[name](str(LINK))) == exits.OK
    assert shared.asked[-1][:2] == ("get", LINK)


@pytest.mark.parametrize("name", sorted(WRAPPINGS))
def test_get_takes_it_from_standard_input_and_from_a_file(
    shared: FakeNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    pasted = WRAPPINGS[name](str(LINK))
    file = tmp_path / "link.txt"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        file.write_bytes(pasted.encode(encoding))
        assert status_of("get", "--link-file", str(file)) == exits.OK
        assert shared.asked.pop()[:2] == ("get", LINK)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pasted.encode())))
    assert status_of("get", "-") == exits.OK
    assert shared.asked.pop()[:2] == ("get", LINK)


def test_a_link_typed_at_a_terminal_ends_with_its_key(
    shared: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = str(LINK)
    typed = Terminal(f"get it:\n{text[:60]}\n{text[60:]}\nls\n")
    monkeypatch.setattr(sys, "stdin", typed)
    assert status_of("get", "-", "--yes") == exits.OK
    assert shared.asked.pop()[:2] == ("get", LINK)
    assert typed.read() == "ls\n"


def test_the_prompt_asks_for_the_rest_of_a_broken_link(
    shared: FakeNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [str(LINK)[:60], str(LINK)[60:120], str(LINK)[120:]]
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(click.termui, "hidden_prompt_func", lambda _: lines.pop(0))
    assert status_of("get", "--yes") == exits.OK
    assert shared.asked.pop()[:2] == ("get", LINK)
    assert str(LINK)[60:120] not in "".join(capsys.readouterr())


def test_the_prompt_ends_with_an_empty_line(
    shared: FakeNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [str(LINK)[:60], ""]
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(click.termui, "hidden_prompt_func", lambda _: lines.pop(0))
    assert status_of("get", "--yes") == exits.USAGE
    assert "the link is cut: its mod id has 51 characters, not 56" in capsys.readouterr().err


@pytest.mark.parametrize("name", IDS)
def test_the_commands_that_need_no_key_take_it_with_and_without(
    shared: FakeNode, name: str
) -> None:
    for link in (LINK, ModLink(LINK.mod_id)):
        pasted = WRAPPINGS[name](str(link))
        assert status_of("peers", "--has", pasted) == exits.OK
        assert shared.asked.pop() == ("peers", ModLink(MOD_ID))
        assert status_of("rm", pasted) == exits.OK
        assert shared.asked.pop() == ("remove", MOD_ID)
        assert parse_target(pasted) == (records.provider_key(MOD_ID), records.PROVIDER)


@pytest.mark.parametrize("name", sorted(WHOLE.keys() & ON_A_COMMAND_LINE))
def test_names_ids_and_keys_may_have_something_around_them(shared: FakeNode, name: str) -> None:
    key = "0123456789" * 4
    assert parse_target(WHOLE[name](key)) == (bytes.fromhex(key), records.PROVIDER)
    assert status_of("rm", WHOLE[name](base32_text(MOD_ID))) == exits.OK
    assert shared.asked.pop() == ("remove", MOD_ID)


@pytest.mark.parametrize("name", sorted(WHOLE.keys() & ON_A_COMMAND_LINE))
def test_a_peer_is_found_in_its_id_or_in_its_line(shared: FakeNode, name: str) -> None:
    for text in (peer_id_text(PEER), f"127.0.0.1:4001/{peer_id_text(PEER)}"):
        for command in ("connect", "doctor"):
            assert status_of(command, WHOLE[name](text)) == exits.OK
            assert shared.asked.pop() == ("connect", PEER)
        key = records.peer_key(PEER), records.PEER
        assert parse_target(WHOLE[name](text)) == key


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_bootstraps_and_addresses_to_listen_at_are_taken_in_settings(
    tmp_path: Path, name: str
) -> None:
    line = f"127.0.0.1:4001/{peer_id_text(PEER)}"
    file = tmp_path / "config.toml"
    file.write_text(
        f"bootstrap = [{json.dumps(WHOLE[name](line))}]\n"
        f"listen = [{json.dumps(WHOLE[name]('127.0.0.1:0'))}]\n"
    )
    config = load(file)
    assert [str(one) for one in config.listen_addresses()] == ["127.0.0.1:0"]
    assert Config(bootstrap=(f"modswarm run --bootstrap {line}",)).listen_addresses()


@pytest.mark.real_loop
async def test_the_control_api_takes_them_too(tmp_path: Path) -> None:
    async with served(tmp_path) as (node, _), aiohttp.ClientSession() as session:
        address, token = read_control(tmp_path) or ("", "")
        headers = {"Authorization": f"Bearer {token}"}
        for wrapping in WRAPPINGS.values():
            body = {"link": wrapping(str(LINK)), "into": str(tmp_path)}
            url = f"http://{address}/v1/downloads"
            async with session.post(url, json=body, headers=headers) as answer:
                assert answer.status == 200
                await answer.read()
            assert node.asked.pop()[:2] == ("get", LINK)
        for wrapping in WHOLE.values():
            body = {"peer": wrapping(peer_id_text(PEER))}
            async with session.post(
                f"http://{address}/v1/connect", json=body, headers=headers
            ) as answer:
                assert answer.status == 200
            assert node.asked.pop() == ("connect", PEER)


@pytest.mark.parametrize("line", [["get"], ["peers", "--has"], ["rm"]])
def test_two_different_links_in_one_paste_are_refused_by_name(
    shared: FakeNode, capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    assert status_of(*line, f"{LINK} and {OTHER}") == exits.USAGE
    told = capsys.readouterr().err
    for link in (LINK, OTHER):
        assert f"{str(link)[:21]}..." in told


@pytest.mark.parametrize(
    ("damaged", "told"),
    [
        (f"'{str(LINK)[:-2]}'", "the link is cut: its content key has 54 characters, not 56"),
        (f"<{str(LINK)[12:]}>", "the link is cut: its beginning is missing"),
        (f"({str(LINK)[:-2]}q7)", "the link has a typo: a character of its content key is wrong"),
    ],
)
@pytest.mark.parametrize("line", [["get"], ["peers", "--has"], ["rm"]])
def test_what_is_wrong_is_told(
    shared: FakeNode, capsys: pytest.CaptureFixture[str], line: list[str], damaged: str, told: str
) -> None:
    assert status_of(*line, damaged) == exits.USAGE
    assert told in capsys.readouterr().err


def test_a_cut_bootstrap_is_told_within_quotes(tmp_path: Path) -> None:
    with pytest.raises(BadAddress, match="bootstrap: the peer id is cut"):
        Config(bootstrap=(f"'127.0.0.1:4001/{peer_id_text(PEER)[:-3]}'",))
    (tmp_path / "config.toml").write_text("listen = [\"'127.0.0.1'\"]")
    with pytest.raises(BadConfig, match="listen: not an address of the form host:port"):
        load(tmp_path / "config.toml")


def test_the_readme_puts_what_a_shell_reads_into_double_quotes() -> None:
    """cmd.exe takes single quotes for letters, and its `&` ends a command within them."""
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    commands = [
        line for line in text.splitlines() if line.startswith(("$ modswarm", "    modswarm"))
    ]
    assert len(commands) > 10
    assert [line for line in commands if "'" in line] == []
    assert all('"modswarm:' in line for line in commands if "modswarm:" in line)


def test_of_two_links_nobody_is_told_to_copy_all(
    shared: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = f"{LINK} {str(OTHER)[:-9]}"
    for text in (f"{LINK} {OTHER}", damaged, f"{LINK} " * (limits.PASTED_LINKS + 1)):
        assert status_of("get", text) == exits.USAGE
        told = capsys.readouterr().err
        assert told.endswith("; give one.\nPaste the link that you mean alone.\n")
    assert status_of("get", str(LINK)[:-9]) == exits.USAGE
    assert "Copy the whole link" in capsys.readouterr().err
