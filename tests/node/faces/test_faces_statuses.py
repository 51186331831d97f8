"""README's table of exit statuses, by real nodes: alone, cut off, and with others."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.config import Config
from node.environment import Environment
from node.faces.api.server import ControlServer
from node.faces.cli import exits
from node.runtime import Node
from protocol.causes.cause import Cause
from protocol.content.link import ModLink
from protocol.identity import Identity, peer_id_text
from tests.identities import SEEDS, give_identities
from tests.node.faces.commands import status_of, told_by

README = Path(__file__).parents[3] / "README.md"
UNKNOWN_MOD = str(ModLink(bytes(32), bytes(32)))
UNKNOWN_PEER = peer_id_text(Identity(SEEDS[9]).peer_id)
SILENT = "127.0.0.1:9"

ABOUT_ONESELF = [["status"], ["id"], ["ls"], ["peers"], ["links"], ["doctor"]]
ASKING_OTHERS = [
    ["peers", "--has", UNKNOWN_MOD],
    ["connect", UNKNOWN_PEER],
    ["doctor", UNKNOWN_PEER],
    ["get", UNKNOWN_MOD, "--to", "out"],
    ["dht", "get", UNKNOWN_PEER],
    ["dht", "get", UNKNOWN_MOD],
    ["dht", "get", "00" * 20, "--kind", "availability"],
    ["dht", "lookup", UNKNOWN_PEER],
    ["dht", "crawl"],
]
FINDING_OUT = [["dht", "lookup", UNKNOWN_PEER], ["dht", "crawl"]]
"""Of ASKING_OTHERS, those whose answer is the nodes that answer."""
CHANGING = [["share", "hats"], ["rm", "nothing"]]
MALFORMED = [
    ["peers", "--has", "x"],
    ["connect", "x"],
    ["doctor", "x"],
    ["connect", UNKNOWN_PEER[:-1]],
    ["doctor", UNKNOWN_PEER[1:]],
    ["connect", UNKNOWN_MOD],
    ["get", "x"],
    ["dht", "get", "x"],
    ["dht", "get", UNKNOWN_MOD[:-1]],
    ["dht", "get", UNKNOWN_PEER, "--kind", "x"],
    ["dht", "lookup", "x"],
    ["dht", "lookup", UNKNOWN_PEER, "--paths", "9"],
    ["dht", "crawl", "--contacts", "0"],
    ["share", "no/such/folder"],
    ["rm", "modswarm:x"],
]


@contextmanager
def running(home: Path, *bootstrap: str) -> Iterator[Node]:
    """A real node with its control API, in a thread of its own."""
    started, ended, nodes = threading.Event(), asyncio.Event(), list[Node]()

    async def serve() -> None:
        config = Config(listen=("127.0.0.1:0",), bootstrap=bootstrap, upnp="off")
        node = Node.open(home, config, Environment(), lambda _: None)
        await node.start()
        server = ControlServer(node, version="1", on_stop=ended.set)
        await server.start()
        if bootstrap and SILENT not in bootstrap:
            await asyncio.wait_for(node.joined.wait(), 20)
        nodes.append(node)
        started.set()
        await ended.wait()
        await server.close()
        await node.stop()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(30)
        yield nodes[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home that commands use, with an identity; the folder at hand has one to share."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODSWARM_HOME", str(tmp_path / "home"))
    (tmp_path / "hats").mkdir()
    (tmp_path / "hats" / "red.txt").write_text("red")
    give_identities([tmp_path / "home"])
    return tmp_path / "home"


def statuses_of(lines: list[list[str]]) -> dict[str, int]:
    return {" ".join(line): status_of(*line) for line in lines}


def all_are(status: int, lines: list[list[str]]) -> dict[str, int]:
    return {" ".join(line): status for line in lines}


def test_without_a_node_every_command_ends_with_3(home: Path) -> None:
    lines = [*ABOUT_ONESELF, *ASKING_OTHERS, *CHANGING, ["stop"]]
    assert statuses_of(lines) == all_are(exits.NOT_RUNNING, lines)


@pytest.mark.parametrize(
    ("bootstrap", "cause"), [((), Cause.NO_NODE_KNOWN), ((SILENT,), Cause.NO_CONTACTS)]
)
def test_without_other_nodes_what_asks_them_ends_with_5(
    home: Path, capsys: pytest.CaptureFixture[str], bootstrap: tuple[str, ...], cause: Cause
) -> None:
    with running(home, *bootstrap):
        assert statuses_of(ABOUT_ONESELF) == all_are(exits.OK, ABOUT_ONESELF)
        assert statuses_of(ASKING_OTHERS) == all_are(exits.NETWORK, ASKING_OTHERS)
        told = capsys.readouterr().err
        assert told.count(cause.advice) == len(ASKING_OTHERS)
        error = told_by(capsys, "peers", "--has", UNKNOWN_MOD, status=exits.NETWORK)["error"]
        assert (error["name"], error["cause"]) == ("unreachable", cause)
        assert statuses_of(CHANGING) == {"share hats": exits.OK, "rm nothing": exits.NOT_FOUND}
        assert statuses_of(MALFORMED) == all_are(exits.USAGE, MALFORMED)


def test_with_other_nodes_what_none_has_is_not_found(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give_identities([home.parent / "other"], first=1)
    with running(home.parent / "other") as other, running(home, *other.bootstrap_addresses()):
        for line in ASKING_OTHERS:
            expected = exits.OK if line in FINDING_OUT else exits.NOT_FOUND
            assert status_of(*line) == expected, line
        assert status_of("connect", UNKNOWN_PEER) == exits.NOT_FOUND, "also when asked again"
        capsys.readouterr()
        assert status_of("peers", "--has", UNKNOWN_MOD) == exits.NOT_FOUND
        told = capsys.readouterr()
        assert peer_id_text(other.identity.peer_id) in told.out
        assert told.err == "None of these is known to have the mod.\n"
        nothing = told_by(capsys, "dht", "get", UNKNOWN_MOD, status=exits.NOT_FOUND)
        assert nothing["records"] == []
        assert statuses_of(MALFORMED) == all_are(exits.USAGE, MALFORMED)
        capsys.readouterr()
        link = told_by(capsys, "share", "hats", "--home", str(home.parent / "other"))["link"]
        found = [["peers", "--has", link], ["dht", "get", link]]
        assert statuses_of(found) == all_are(exits.OK, found)


def test_the_readme_has_every_status() -> None:
    rows = README.read_text(encoding="utf-8")
    for status, meaning in exits.MEANINGS.items():
        assert f"| {status} | {meaning} |" in rows
