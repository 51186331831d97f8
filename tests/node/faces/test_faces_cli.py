"""Commands against a real control API with a node that answers from memory."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from node.faces.api import gate
from node.faces.api.forms import to_json
from node.faces.api.gate import Gate
from node.faces.cli import exits
from node.faces.cli.main import COMMANDS, modswarm
from node.home import Home
from node.links.path.found_path import FoundPath
from node.machine import folders
from protocol.addresses import Address
from protocol.errors import (
    CallFailed,
    DiskError,
    ModswarmError,
    NoSources,
    NotFound,
    TargetExists,
    TimedOut,
)
from protocol.ice.candidates import CandidateKind
from protocol.identity import base32_text, peer_id_text
from tests.node.faces.commands import status_of, told_by
from tests.node.faces.fake_node import (
    LINK,
    MOD_ID,
    PEER,
    FakeNode,
    stored_mod,
)

CONNECTED = [
    "direct, outgoing",
    "127.0.0.1:4001 (its own address)",
    "127.0.0.1:5000 (as others see it)",
    "20 ms",
    "150 ms (call 10 ms, ICE 20 ms, DTLS 30 ms, SCTP 40 ms, session 50 ms)",
]
"""What `connect` shows of the link that the node that answers from memory has."""


def test_each_command_that_asks_prints_one_json_document(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told_by(capsys, "status")["contacts"] == 3
    assert told_by(capsys, "id")["bootstrap_addresses"] == list(node.bootstrap_addresses())
    assert told_by(capsys, "ls")["mods"] == list(map(to_json, node.sharing.mod_list))
    assert told_by(capsys, "peers")["peers"][0]["has"] is None
    assert told_by(capsys, "peers", "--has", str(LINK))["peers"][0]["has"] is True
    assert told_by(capsys, "links")["links"][0]["path"] == "direct"
    assert told_by(capsys, "links")["links"][0]["kept"] == ["a person asked for it"]
    assert told_by(capsys, "connect", peer_id_text(PEER))["peer_id"] == peer_id_text(PEER)
    assert told_by(capsys, "share", "some/folder")["link"] == str(LINK)
    assert told_by(capsys, "get", str(LINK))["bytes"] == 10
    assert told_by(capsys, "rm", "hats") == {"removed": base32_text(MOD_ID)}
    kept = told_by(capsys, "vault")
    assert (kept["bytes"], kept["bound_bytes"], kept["budget_bytes"]) == (9700, 700, 20_000)
    assert kept["unneeded_bytes"] == 2300
    first = kept["mods"][0]
    assert (first["own_bytes"], first["shared_bytes"]) == (5000, 4000)
    assert (first["in_use"], first["pinned"], first["complete"]) == (True, False, False)
    assert told_by(capsys, "scrub")["repaired"] == [base32_text(MOD_ID)]
    pinned = {"mod_id": base32_text(MOD_ID), "pinned": True}
    assert told_by(capsys, "pin", "hats") == pinned
    assert told_by(capsys, "unpin", str(LINK)) == pinned | {"pinned": False}
    assert node.asked[-3:] == [("pin", MOD_ID, True), ("mods",), ("pin", MOD_ID, False)]
    assert told_by(capsys, "dht", "lookup", "x", "--paths", "4")["requests"] == 12
    assert told_by(capsys, "dht", "get", "x", "--kind", "peer")["records"][0]["sequence"] == 7
    assert told_by(capsys, "dht", "crawl", "--contacts", "50")["size_estimate"] == 8
    assert node.asked[-3:] == [("lookup", "x", 4), ("records", "x", "peer"), ("crawl", 50)]


@pytest.mark.parametrize(("option", "asked"), [("--keep", [True]), ("--no-keep", [False])])
def test_a_link_is_kept_where_a_person_says_so(
    node: FakeNode, option: str, asked: list[bool]
) -> None:
    assert status_of("connect", peer_id_text(PEER)) == 0
    assert not [one for one in node.asked if one[0] == "keep_link"]
    assert status_of("connect", peer_id_text(PEER), option) == 0
    assert [one for one in node.asked if one[0] == "keep_link"] == [
        ("keep_link", PEER, keep) for keep in asked
    ]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["status"], ["Reachable", "yes, after 12 ms", "bad_signature 2"]),
        (["id"], ["Peer id", "127.0.0.1:4001/p"]),
        (["ls"], ["hats", "10 B", "here", str(LINK)]),
        (["peers"], [peer_id_text(PEER), "contact", "3.00 s"]),
        (["peers", "--has", str(LINK)], ["yes"]),
        (["links"], ["outgoing", "2.0 kB", "KEPT", "yes"]),
        (["connect", peer_id_text(PEER)], [*CONNECTED, "Kept", "a person asked for it"]),
        (["get", str(LINK)], ["hats", "2 files, 10 B", "from 1 peer", "90 ms"]),
        (["rm", "hats"], ["Removed hats."]),
        (["vault"], ["hats", "5.0 kB", "4.0 kB", "9.7 kB", "700 B of 20.0 kB", "2.0 kB stay free"]),
        (["scrub"], ["9.7 kB, 1 chunk damaged", f"Repaired  {base32_text(MOD_ID)}"]),
        (["pin", "hats"], ["Pinned hats."]),
        (["unpin", "hats"], ["hats is pinned no more."]),
        (["dht", "lookup", "00" * 20], [peer_id_text(PEER), "2 ms", "known", " > "]),
        (["dht", "get", peer_id_text(PEER)], ["1970-01-02", "159 B", "addresses 127.0.0.1:5000"]),
        (["dht", "crawl"], ["Nodes, by density", "9 of 9 named", "7, silent 2", "1: 7", "6, 1"]),
    ],
)
def test_people_are_told_in_words(
    node: FakeNode, capsys: pytest.CaptureFixture[str], args: list[str], expected: list[str]
) -> None:
    assert status_of(*args) == 0
    printed = capsys.readouterr().out
    for text in expected:
        assert text in printed


def test_a_mod_that_was_fetched_is_from_others_which_need_not_be_peers(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.sharing.mod_list = [replace(mod, shared=False) for mod in node.sharing.mod_list]
    assert status_of("ls") == exits.OK
    printed = capsys.readouterr().out
    assert "others" in printed
    assert "peers" not in printed


def test_a_scrub_after_which_something_lacks_is_no_success(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.sharing.keeping.lacking = (bytes(32),)
    assert status_of("scrub") == exits.NOT_FOUND
    shown = capsys.readouterr()
    assert base32_text(bytes(32)) in shown.out
    assert "the next scrub asks again" in shown.err


@pytest.mark.parametrize(
    ("join_ms", "known_nodes", "told"),
    [
        (None, 0, "no: this node knows no other node. Start it with --bootstrap"),
        (None, 2, "not yet: it goes on, and 3 nodes answered so far"),
        (12.5, 2, "yes, after 12 ms\n"),
        (12.5, 0, "yes, after 12 ms, when another node joined through it\n"),
    ],
)
def test_status_says_whether_there_is_a_node_to_join_through(
    node: FakeNode,
    capsys: pytest.CaptureFixture[str],
    join_ms: float | None,
    known_nodes: int,
    told: str,
) -> None:
    node.join_ms, node.known_nodes = join_ms, known_nodes
    assert status_of("status") == exits.OK
    assert f"Joined               {told}" in capsys.readouterr().out


def test_a_relayed_link_shows_the_relay_and_its_address_at_both_ends(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    relay, at = PEER[::-1], Address("192.0.2.9", 4001)
    path = FoundPath(at, CandidateKind.RELAYED, at, CandidateKind.RELAYED, relay)
    node.pool.path = path
    assert status_of("connect", peer_id_text(PEER)) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "Our end       192.0.2.9:4001 (the relay)" in shown
    assert "Their end     192.0.2.9:4001 (the relay)" in shown
    assert f"Relay         {peer_id_text(relay)}" in shown
    assert told_by(capsys, "links")["links"][0]["relay"] == peer_id_text(relay)


def test_a_node_that_is_not_reached_from_outside_gives_no_addresses_for_friends(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.reachable = False
    assert status_of("id") == 0
    shown = capsys.readouterr().out
    assert "Address on this computer  127.0.0.1:4001/p" in shown
    assert "Address for friends       none, as this network lets in only answers" in shown


@pytest.mark.parametrize("reachable", [None, True])
def test_only_an_address_that_works_outside_is_one_for_friends(
    node: FakeNode, capsys: pytest.CaptureFixture[str], reachable: bool | None
) -> None:
    node.reachable = reachable
    node.bound = [Address("192.168.1.5", 4001), Address("fd00::5", 4001)]
    assert status_of("id") == 0
    shown = capsys.readouterr().out
    assert "Address in your own network  192.168.1.5:4001/p" in shown
    assert "Address in your own network  [fd00::5]:4001/p" in shown
    assert "Address for friends          none" in shown
    node.bound.append(Address("5.0.1.2", 4001))
    assert status_of("id") == 0
    shown = capsys.readouterr().out
    assert "Address for friends          5.0.1.2:4001/p" in shown
    assert "none" not in shown


def test_a_link_to_oneself_is_bad_input(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("connect", peer_id_text(node.identity.peer_id)) == exits.USAGE
    assert capsys.readouterr().err == "Error: that is this node's own id.\n"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("it is not there"), exits.NOT_FOUND),
        (NoSources("no peer has it"), exits.NOT_FOUND),
        (TimedOut("too slow"), exits.NETWORK),
        (CallFailed("busy"), exits.NETWORK),
        (DiskError("the disk is full"), exits.DISK),
        (TargetExists("it is there"), exits.DISK),
        (ModswarmError("something else"), exits.FAILURE),
        (ValueError("a defect"), exits.FAILURE),
    ],
)
def test_failures_are_one_sentence_and_the_status_of_their_kind(
    node: FakeNode, capsys: pytest.CaptureFixture[str], error: Exception, status: int
) -> None:
    node.failure = error
    assert status_of("get", str(LINK), "--json") == status
    printed = capsys.readouterr()
    told = json.loads(printed.out)["error"]
    assert printed.err.startswith("Error: ")
    assert "Traceback" not in printed.err
    if isinstance(error, ModswarmError):
        assert told == {"name": error.name, "message": str(error)}
        assert str(error) in printed.err


@pytest.mark.parametrize("command", [["status"], ["get", str(LINK)], ["share", "."], ["rm", "x"]])
def test_without_a_node_commands_say_how_to_start_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert status_of(*command, "--home", str(tmp_path)) == exits.NOT_RUNNING
    assert f"modswarm run --home {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize(("refusals", "status"), [(2, exits.OK), (3, exits.FAILURE)])
def test_a_request_that_met_too_many_connections_is_made_again(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, refusals: int, status: int
) -> None:
    monkeypatch.setattr("node.faces.cli.client._PAUSES_S", (0, 0))
    monkeypatch.setattr(Gate, "handler_for", refusing(iter([gate.SERVED] * refusals + [0])))
    assert status_of("ls") == status


def refusing(open_connections: Iterator[int]) -> Callable[..., Any]:
    """A gate that finds so many open, one after another."""
    whole = Gate.handler_for

    def handler_for(self: Gate, headers: Any, path: str) -> Any:
        self._served = lambda: next(open_connections)
        return whole(self, headers, path)

    return handler_for


@pytest.mark.parametrize("left_behind", ["closed port", "foreign server", "garbage"])
def test_a_control_file_of_a_killed_node_is_no_node(
    node: FakeNode, tmp_path: Path, left_behind: str
) -> None:
    folder = tmp_path / "killed"
    home = Home.open(folder)
    own = json.loads((tmp_path / "home" / "control.json").read_text())
    address = {"closed port": "127.0.0.1:1", "foreign server": own["address"], "garbage": "x:y"}
    home.write_control(address[left_behind], "0" * 64)
    home.close()
    assert status_of("status", "--home", str(folder)) == exits.NOT_RUNNING


@pytest.mark.parametrize("command", ["connect", "doctor"])
@pytest.mark.parametrize(
    ("given", "told"),
    [
        (str(LINK), "that is the link of a mod; give the id of a peer, as `modswarm id` shows it"),
        (peer_id_text(PEER)[:-1], "the peer id is cut: "),
        ("me", "not a peer id, which is p and 32 of a-z and 2-7: 'me'"),
    ],
)
def test_what_is_no_peer_id_is_told_before_anything_is_asked(
    node: FakeNode, capsys: pytest.CaptureFixture[str], command: str, given: str, told: str
) -> None:
    assert status_of(command, given) == exits.USAGE
    printed = capsys.readouterr()
    assert (printed.out, printed.err.startswith(f"Error: {told}")) == ("", True)
    assert node.asked == []


def test_names_from_peers_cannot_steer_the_terminal(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.sharing.mod_list = [stored_mod(MOD_ID, "\x1b[2Jhats\r\n\x9b1m")]
    assert status_of("ls") == 0
    assert status_of("rm", base32_text(MOD_ID)) == 0
    node.failure = CallFailed("\x1b]0;busy\x07")
    assert status_of("connect", peer_id_text(PEER)) == exits.NETWORK
    printed = capsys.readouterr()
    for char in "\x1b\r\x9b\x07":
        assert char not in printed.out + printed.err


def test_every_command_is_there_and_takes_json(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        command = modswarm.get_command(None, name)  # type: ignore[arg-type]
        groups = [[one] for one in command.commands] if isinstance(command, click.Group) else [[]]
        for words in [["run", "lookup"]] if name == "simulate" else groups:
            assert status_of(name, *words, "--help") == 0
            assert "--json" in capsys.readouterr().out
    assert status_of("--help") == 0
    printed = capsys.readouterr().out
    for status, meaning in exits.MEANINGS.items():
        assert f"{status}  {meaning}" in printed
    assert all(command in printed for command in modswarm.list_commands(None))  # type: ignore[arg-type]


@pytest.mark.parametrize("args", [["nonsense"], ["get"], ["status", "--nonsense"], []])
def test_wrong_usage_is_status_2(args: list[str]) -> None:
    assert status_of(*args) == exits.USAGE


def test_the_home_is_named_by_option_then_environment_then_platform(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert status_of("status") == 0
    assert status_of("status", "--home", "elsewhere") == exits.NOT_RUNNING
    monkeypatch.delenv("MODSWARM_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert folders.default_home() == tmp_path / "data" / "modswarm"
    for none in ("", " "):
        monkeypatch.setenv("XDG_DATA_HOME", none)
        assert folders.default_home() == Path.home() / ".local" / "share" / "modswarm"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert folders.default_home() == tmp_path / "local" / "modswarm"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert folders.default_home().parts[-2:] == ("Application Support", "modswarm")


HEAVY = ("aiohttp", "aiortc", "kademlia", "cryptography", "rich", "msgpack", "pyfastcdc")


def test_help_starts_fast_because_it_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from node.faces.cli.main import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "finally:\n"
        f"    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
