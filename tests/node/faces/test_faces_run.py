"""`modswarm run` as the process that people start and end."""

import gc
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from node.faces.api import guard
from node.faces.cli import exits
from node.faces.cli.client import ControlClient
from node.faces.cli.running import RunOutput
from node.home import Home
from node.machine.control_file import read_control
from protocol.errors import ModswarmError
from protocol.identity import Identity, peer_id_text
from tests.identities import SEEDS, give_identities
from tests.node.faces.commands import status_of, told_by
from tests.node.faces.fake_node import LINK, served_in_thread

STOP_S = 30.0
"""A node that has not ended by then hangs; a busy machine is no defect."""

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")


class RunningNode:
    """A node process; `facts` is its first line."""

    def __init__(self, process: subprocess.Popen[str], home: Path) -> None:
        assert process.stdout is not None
        self.process = process
        self.home = home
        self.facts: dict[str, Any] = json.loads(process.stdout.readline())

    def end_within(self, seconds: float) -> tuple[int, list[dict[str, Any]], str]:
        """Exit status, events since the first, and standard error."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err


@contextmanager
def running(home: Path, *options: str, number: int = 0) -> Iterator[RunningNode]:
    give_identities([home], first=number)
    process = start(home, "127.0.0.1:0", *options)
    try:
        yield RunningNode(process, home)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def start(home: Path, listen: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "node", "run", "--home", str(home), "--json"]
    return subprocess.Popen(
        [*command, "--listen", listen, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@posix
def test_a_silent_bootstrap_is_told_and_sigterm_ends_the_node_in_order(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with running(tmp_path / "home", "--bootstrap", address) as node:
            began = time.monotonic()
            assert node.process.stderr is not None
            told = node.process.stderr.readline()
            assert f"The bootstrap {address} does not answer." in told
            assert time.monotonic() - began < 5
            status = ControlClient(node.home).get("/v1/status")
            assert (status["joined"], status["contacts"]) == (False, 0)
            node.process.send_signal(signal.SIGTERM)
            code, events, err = node.end_within(STOP_S)
            assert (code, err) == (0, "")
            assert [one["event"] for one in events] == ["stopped"]


@posix
def test_run_says_where_it_serves_http(tmp_path: Path) -> None:
    """Also at a port that the system chose, which nothing else tells."""
    with running(tmp_path / "home", "--serve-http", "127.0.0.1:0") as node:
        assert node.process.stderr is not None
        told = node.process.stderr.readline()
        found = re.search(r"served over HTTP at http://127\.0\.0\.1:(\d+)$", told.strip())
        assert found is not None, told
        with socket.create_connection(("127.0.0.1", int(found[1])), 10) as client:
            client.sendall(b"GET /x HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 404 ")


HANGING_RESOLVER = """
import socket, time
resolve = socket.getaddrinfo

def getaddrinfo(host, *rest, **more):
    if host == "hangs.invalid":
        print("asked", file=__import__("sys").stderr, flush=True)
        time.sleep(3600)
    return resolve(host, *rest, **more)

socket.getaddrinfo = getaddrinfo
"""


@posix
def test_a_thread_that_hangs_does_not_keep_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HANGING_RESOLVER)
    known = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(tmp_path), known))))
    with running(tmp_path / "home", "--bootstrap", "hangs.invalid:4001") as node:
        assert node.process.stderr is not None
        assert node.process.stderr.readline() == "asked\n"
        node.process.send_signal(signal.SIGTERM)
        code, events, _ = node.end_within(STOP_S)
        assert (code, [one["event"] for one in events]) == (0, ["stopped"])


@posix
def test_ctrl_c_ends_the_node_in_order_and_leaves_its_home_to_the_next(tmp_path: Path) -> None:
    with running(tmp_path / "home") as node:
        assert node.facts["event"] == "running"
        assert node.facts["control"] == control_address(node.home)
        assert node.facts["addresses"][0].startswith("127.0.0.1:")
        assert node.facts["bootstrap_addresses"] == [
            f"{node.facts['addresses'][0]}/{node.facts['peer_id']}"
        ]
        node.process.send_signal(signal.SIGINT)
        code, events, _ = node.end_within(STOP_S)
        assert code == 0
        assert events[-1]["event"] == "stopped"
    assert read_control(tmp_path / "home") is None
    Home.open(tmp_path / "home").close()


def control_address(home: Path) -> str:
    control = read_control(home)
    assert control is not None
    return control[0]


def test_a_node_joins_and_ends_by_stop_or_with_its_parent(tmp_path: Path) -> None:
    with running(tmp_path / "a") as first:
        bootstrap = first.facts["bootstrap_addresses"][0]
        options = ("--bootstrap", bootstrap, "--until-stdin-closes")
        with running(tmp_path / "b", *options, number=1) as second:
            assert second.process.stdout is not None
            joined = json.loads(second.process.stdout.readline())
            assert (joined["event"], joined["contacts"]) == ("joined", 1)
            second.process.stdin.close()  # type: ignore[union-attr]
            second.process.stdin = None
            code, events, _ = second.end_within(STOP_S)
            assert (code, events[-1]["event"]) == (0, "stopped")
        assert status_of("stop", "--home", str(first.home)) == exits.OK
        Home.open(first.home).close()
        code, events, _ = first.end_within(STOP_S)
        assert (code, events[-1]["event"]) == (0, "stopped")
        assert status_of("stop", "--home", str(first.home)) == exits.NOT_RUNNING


def test_the_doctor_of_real_nodes_reaches_a_friend_and_says_why_another_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = peer_id_text(Identity(SEEDS[7]).peer_id)
    (tmp_path / "a.txt").write_text("a")
    with running(tmp_path / "a") as first:
        friend = first.facts["peer_id"]
        at_a = ("--home", str(first.home))
        told = told_by(capsys, "connect", unknown, *at_a, status=exits.NETWORK)
        assert told["error"]["cause"] == "no_node_known"
        told = told_by(capsys, "share", str(tmp_path / "a.txt"), *at_a)
        assert told["published"] | {"confirmed": 0, "cause": "no_node_known"} == told["published"]
        told = told_by(capsys, "status", *at_a)
        assert (told["joined"], told["known_nodes"]) == (False, 0)
        options = ("--bootstrap", first.facts["bootstrap_addresses"][0])
        with running(tmp_path / "b", *options, number=1) as second:
            assert second.process.stdout is not None
            second.process.stdout.readline()
            at_b = ("--home", str(second.home))
            told = told_by(capsys, "doctor", friend, *at_b)
            assert (told["network"]["kind"], told["network"]["contacts"]) == ("loopback", 1)
            assert (told["link"]["peer_id"], told["link"]["path"]) == (friend, "direct")
            assert told["link"]["local_address"] == second.facts["addresses"][0]
            assert told["link"]["rtt_ms"] > 0
            told = told_by(capsys, "doctor", unknown, *at_b, status=exits.NOT_FOUND)
            assert (told["link"], told["error"]["cause"]) == (None, "peer_unknown")
            told = told_by(capsys, "get", str(LINK), *at_b, status=exits.NOT_FOUND)
            assert told["error"]["cause"] == "mod_unknown"


@posix
def test_a_killed_node_goes_on_with_its_queue_as_it_was_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One download was under way, one paused and one waiting for its turn."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.toml").write_text("downloads_at_once = 1\n")
    with running(tmp_path / "a", "--limit-up", "800k") as holder:
        links = [_shared(capsys, holder, tmp_path, name) for name in ("one", "two", "three")]
        options = ("--bootstrap", holder.facts["bootstrap_addresses"][0])
        with running(tmp_path / "b", *options, number=1) as getter:
            assert getter.process.stdout is not None
            getter.process.stdout.readline()  # it has joined
            at_b = ("--home", str(getter.home))
            places = [str(tmp_path / f"out{number}") for number in range(3)]
            for link, place, priority in zip(links, places, ("high", "normal", "low"), strict=True):
                words = ("--to", place, "--detach", "--priority", priority)
                told_by(capsys, "get", link, *words, *at_b)
            told_by(capsys, "pause", links[1], *at_b)
            wait_for(lambda: _stored_bytes(getter) > _MOD_BYTES // 4)
            stored = _stored_bytes(getter)
            before = _queue(getter)
            getter.process.kill()
            getter.process.communicate()
        assert [one["state"] for one in before] == ["active", "paused", "waiting"]
        with running(tmp_path / "b", *options, number=1) as getter:
            told = ("id", "mod_id", "place", "state", "priority", "added")
            after = _queue(getter)
            assert _parts(after, *told) == _parts(before, *told)
            wait_for(lambda: _bytes_done(getter) > 0)
            assert _bytes_done(getter) > stored - _MANIFEST_BYTES
            told_by(capsys, "limits", "--up", "off", "--home", str(holder.home))
            told_by(capsys, "resume", links[1], *at_b)
            wait_for(lambda: all(one["state"] == "done" for one in _queue(getter)))
    for name, place in zip(("one", "two", "three"), places, strict=True):
        assert (Path(place) / "data").read_bytes() == (tmp_path / name / "data").read_bytes()


_MOD_BYTES = 4_000_000
_MANIFEST_BYTES = 30_000
"""At most."""


def _shared(capsys: pytest.CaptureFixture[str], node: RunningNode, folder: Path, name: str) -> str:
    """Share a mod of random bytes; returns its link."""
    (folder / name).mkdir()
    (folder / name / "data").write_bytes(random.Random(name).randbytes(_MOD_BYTES))
    told = told_by(capsys, "share", str(folder / name), "--home", str(node.home))
    return str(told["link"])


def _queue(node: RunningNode) -> list[dict[str, Any]]:
    downloads: list[dict[str, Any]] = ControlClient(node.home).get("/v1/downloads")["downloads"]
    return sorted(downloads, key=lambda one: int(one["id"]))


def _stored_bytes(node: RunningNode) -> int:
    """What is on the disk of mods and their manifests."""
    return int(ControlClient(node.home).get("/v1/vault")["bytes"])


def _bytes_done(node: RunningNode) -> int:
    """How far the first download is; 0 until the node has looked at what its vault has of it."""
    progress = _queue(node)[0]["progress"]
    return 0 if progress is None else int(progress["bytes_done"])


def _parts(downloads: list[dict[str, Any]], *names: str) -> list[list[Any]]:
    return [[one[name] for name in names] for one in downloads]


def test_a_home_and_a_port_have_one_node(tmp_path: Path) -> None:
    with running(tmp_path / "home") as node:
        give_identities([tmp_path / "other"], first=1)
        rival = start(node.home, "127.0.0.1:0")
        neighbour = start(tmp_path / "other", node.facts["addresses"][0])
        _, told = rival.communicate(timeout=30)
        assert rival.returncode == exits.FAILURE
        assert "another node is running" in told
        _, told = neighbour.communicate(timeout=30)
        assert neighbour.returncode == exits.USAGE
        assert "listen" in told


@posix
def test_a_second_signal_ends_a_node_that_hangs(tmp_path: Path) -> None:
    program = (
        "import asyncio, os\n"
        "from node.faces.cli.ending import Ending\n"
        "ending = Ending()\n"
        "ending.watch_signals()\n"
        "async def hang():\n"
        "    ending.attach()\n"
        "    print('up', flush=True)\n"
        "    await ending.asked.wait()\n"
        "    print('asked', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(hang())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for expected in ("up\n", "asked\n"):
            assert process.stdout.readline() == expected
            process.send_signal(signal.SIGINT)
        assert process.wait(STOP_S) == exits.INTERRUPTED


@posix
def test_ctrl_c_on_get_cancels_the_download_at_the_node(tmp_path: Path) -> None:
    with served_in_thread(tmp_path / "home") as fake:
        fake.sharing.hold = True
        process = subprocess.Popen(
            [sys.executable, "-m", "node", "get", str(LINK)],
            env={**os.environ, "MODSWARM_HOME": str(tmp_path / "home")},
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(fake.sharing.downloading.is_set)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=STOP_S)
        assert (process.returncode, told.strip()) == (exits.INTERRUPTED, "Interrupted.")
        wait_for(fake.sharing.cancelled.is_set)


def test_an_answer_that_ends_early_leaves_no_socket_to_the_garbage_collector(
    tmp_path: Path,
) -> None:
    proof = f"{guard.PROOF_HEADER}: {guard.proof('token')}".encode()
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 999\r\n" + proof + b"\r\n\r\n"
    line = json.dumps({"error": {"name": "not_found", "message": "gone"}}).encode() + b"\n"
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        closing(Home.open(tmp_path / "home")) as home,
    ):
        home.write_control(f"127.0.0.1:{server.getsockname()[1]}", "token")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            stream = ControlClient(home.path).stream("/v1/get", {})
            answering = threading.Thread(target=_answer_once, args=(server, head + line))
            answering.start()
            with pytest.raises(ModswarmError, match="gone"):
                next(stream)
            del stream
            answering.join()
            gc.collect()
    assert [str(warning.message) for warning in told] == []


def _answer_once(server: socket.socket, answer: bytes) -> None:
    peer, _ = server.accept()
    with peer:
        peer.recv(65536)
        peer.sendall(answer)


@posix
def test_get_of_a_node_that_has_not_joined_has_the_status_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODSWARM_HOME", str(tmp_path / "home"))
    with running(tmp_path / "home"):
        for _ in range(2):
            assert status_of("get", "--to", str(tmp_path / "out"), str(LINK)) == exits.NETWORK
            assert capsys.readouterr().err.startswith("Error: this node knows no other node")


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


ALONE: dict[str, Any] = {
    "peer_id": "p4x",
    "addresses": ["192.168.1.2:4001"],
    "reachable": None,
    "bootstrap_addresses": ["192.168.1.2:4001/p4x"],
    "streams": {"listening": []},
}


def test_how_it_listens_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = "UDP, and TCP for nodes without UDP"
    for listening, how in ([], "UDP"), (["0.0.0.0:4001"], both):
        told = ALONE | {"streams": {"listening": listening}}
        RunOutput(tmp_path, as_json=False).running(told, "c", asks_router=False)
        assert f"It listens on 192.168.1.2:4001 ({how}).\n" in capsys.readouterr().out


def test_a_loopback_address_is_offered_to_nobody_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = ["127.0.0.1:4001/p4x", "[::1]:4001/p4x"]
    for friends in (local, [*local, "192.168.1.2:4001/p4x"]):
        told = ALONE | {"bootstrap_addresses": friends}
        RunOutput(tmp_path, as_json=False).running(told, "c", asks_router=False)
        here, heading, elsewhere = capsys.readouterr().out.partition("Your friends join")
        assert "Other nodes on this computer join through it with:" in here
        assert bool(heading) == ("192.168.1.2:4001/p4x" in friends)
        assert not any(address in elsewhere for address in local)


@pytest.mark.parametrize("asks_router", [True, False])
def test_behind_a_router_friends_are_told_what_it_has_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asks_router: bool
) -> None:
    RunOutput(tmp_path, as_json=False).running(ALONE, "c", asks_router=asks_router)
    shown = capsys.readouterr().out
    assert "your router to forward the UDP port" in shown
    assert ("The node asks the router for that" in shown) is asks_router


def test_what_the_router_forwards_is_told_with_the_line_for_friends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RunOutput(tmp_path, as_json=False).forwarded(ALONE, "5.0.1.1:4001")
    assert "    modswarm run --bootstrap 5.0.1.1:4001/p4x\n" in capsys.readouterr().out
    RunOutput(tmp_path, as_json=True).forwarded(ALONE, "5.0.1.1:4001")
    told = json.loads(capsys.readouterr().out)
    assert (told["event"], told["address"]) == ("forwarded", "5.0.1.1:4001")
