"""A node that does not run is told at once, and one that does not answer within 10 s."""

import errno
import json
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from node.disk import lock
from node.faces.api import guard
from node.faces.cli import client, exits
from node.faces.cli.client import ControlClient
from node.home import Home
from node.machine import control_file
from node.machine.patient_socket import AnswerPatience
from protocol.errors import HomeError, NodeSilent, NotRunning
from tests.found.silent.foreign_programs import Foreign, Serve, served
from tests.node.faces.commands import status_of
from tests.node.faces.fake_node import LINK, FakeNode, served_in_thread

COMMANDS = (
    *(["status"], ["ls"], ["share", "hats"], ["get", str(LINK)], ["rm", "hats"], ["stop"]),
    *(["doctor"], ["dht", "crawl"], ["peers", "--has", str(LINK)]),
)
TOKEN = "ab" * 32


def silent(peer: socket.socket, ended: threading.Event) -> None:
    ended.wait()


def closing_at_once(peer: socket.socket, ended: threading.Event) -> None:
    return


def dripping(peer: socket.socket, ended: threading.Event) -> None:
    while not ended.wait(0.01):
        peer.sendall(b"H")


def other_protocol(peer: socket.socket, ended: threading.Event) -> None:
    peer.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
    ended.wait()


def rubbish(peer: socket.socket, ended: threading.Event) -> None:
    peer.recv(65536)
    body = b'{"contacts": 5, "mods": [], "result": {}}'
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    peer.sendall(head.encode() + body)


def endless(peer: socket.socket, ended: threading.Event) -> None:
    peer.recv(65536)
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    while not ended.is_set():
        peer.sendall(b"X: y\r\n" * 50)


FOREIGN = (silent, closing_at_once, dripping, other_protocol, rubbish, endless)


@pytest.fixture
def foreign() -> Iterator[Foreign]:
    with ExitStack() as programs:
        yield lambda serve: programs.enter_context(served(serve))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """A real control API in the home that commands use."""
    monkeypatch.setenv("MODSWARM_HOME", str(tmp_path / "home"))
    with served_in_thread(tmp_path / "home") as fake:
        yield fake


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's patience in a hundredth of the time; how they relate is as ever."""
    for name in ("LOOK_EVERY_S", "LOOK_S", "PATIENCE_S"):
        monkeypatch.setattr(client, name, getattr(client, name) / 100)


def left_behind(home: Path, address: str) -> None:
    """What a killed node leaves: no lock, and a control file."""
    made = Home.open(home)
    made.write_control(address, TOKEN)
    made.close()


@pytest.mark.parametrize("serve", FOREIGN, ids=lambda one: one.__name__)
@pytest.mark.parametrize("args", COMMANDS, ids=lambda args: args[0])
def test_the_lock_says_that_no_node_runs_and_nobody_is_asked(
    tmp_path: Path, foreign: Foreign, serve: Serve, args: list[str]
) -> None:
    asked: list[bytes] = []

    def listening(peer: socket.socket, ended: threading.Event) -> None:
        asked.append(b"")
        serve(peer, ended)

    left_behind(tmp_path / "home", foreign(listening))
    assert status_of(*args, "--home", str(tmp_path / "home")) == exits.NOT_RUNNING
    assert asked == []  # so the token went nowhere either


@pytest.mark.parametrize("serve", FOREIGN, ids=lambda one: one.__name__)
@pytest.mark.parametrize("args", [["ls"], ["get", str(LINK)], ["stop"]], ids=lambda one: one[0])
@pytest.mark.usefixtures("hasty")
def test_what_is_no_node_is_not_believed_where_a_node_holds_the_lock(
    tmp_path: Path, foreign: Foreign, serve: Serve, args: list[str]
) -> None:
    with closing(Home.open(tmp_path / "home")) as home:
        home.write_control(foreign(serve), TOKEN)
        status = status_of(*args, "--home", str(home.path))
    is_silent = serve in {silent, dripping}
    assert status in ({exits.NETWORK} if is_silent else {exits.NOT_RUNNING, exits.NETWORK})


@pytest.mark.usefixtures("hasty")
def test_another_users_node_at_the_port_is_not_this_one(node: FakeNode, tmp_path: Path) -> None:
    theirs = control_file.read_control(tmp_path / "home")
    assert theirs is not None
    with closing(Home.open(tmp_path / "ours")) as home:
        home.write_control(theirs.address, TOKEN)
        assert status_of("ls", "--home", str(home.path)) == exits.NOT_RUNNING
    assert node.asked == []


def test_a_person_is_told_within_ten_seconds() -> None:
    assert client.LOOK_EVERY_S + client.LOOK_S < 10


@pytest.mark.usefixtures("hasty")
def test_a_silent_node_is_told_and_then_given_up(
    tmp_path: Path, foreign: Foreign, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Home.open(tmp_path / "home")) as home:
        home.write_control(foreign(silent), TOKEN)
        began = time.monotonic()
        with pytest.raises(NodeSilent, match=f"process {os.getpid()}"):
            ControlClient(home.path).get("/v1/status")
        question_s = time.monotonic() - began
        assert capsys.readouterr().err == ""
        with pytest.raises(NodeSilent):
            next(ControlClient(home.path).stream("/v1/mods", {}))
        told = capsys.readouterr().err
        assert told.count("The node does not answer") == 1
        assert time.monotonic() - began - question_s >= client.PATIENCE_S
        assert status_of("ls", "--home", str(home.path)) == exits.NETWORK
        assert "suspended" in capsys.readouterr().err


@pytest.mark.usefixtures("hasty")
def test_a_node_that_lives_is_waited_for_without_a_word(
    tmp_path: Path, foreign: Foreign, capsys: pytest.CaptureFixture[str]
) -> None:
    """It answers the look, and the work takes much longer than the patience."""
    proof = f"{guard.PROOF_HEADER}: {guard.proof(TOKEN)}"
    body = b'{"removed": "x"}'
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{proof}\r\n\r\n".encode()

    def busy(peer: socket.socket, ended: threading.Event) -> None:
        if b"DELETE" in peer.recv(65536):
            ended.wait(2 * client.PATIENCE_S)
        peer.sendall(head + body)

    with closing(Home.open(tmp_path / "home")) as home:
        home.write_control(foreign(busy), TOKEN)
        assert ControlClient(home.path).delete("/v1/mods", "x") == {"removed": "x"}
    assert capsys.readouterr().err == ""


def test_patience_counts_whole_things_and_not_bytes() -> None:
    now, looks = [0.0], []
    patience = AnswerPatience(5, lambda: looks.append(now[0]), lambda: now[0])
    assert patience.left_s() == 5
    now[0] = 4
    assert patience.left_s() == 1
    now[0] = 5
    assert patience.left_s() == 5
    now[0] = 9.5
    patience.again()
    now[0] = 10
    assert patience.left_s() == 4.5
    assert (looks, patience.waited_s) == ([5], 0.5)


# Homes that are copied, moved, damaged or another's -------------------------------------------


def test_a_copy_of_a_home_is_no_home_of_the_running_node(
    node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    assert status_of("ls", "--home", str(tmp_path / "copy")) == exits.NOT_RUNNING
    monkeypatch.setattr(control_file, "is_held", lambda path: True)
    for home in (tmp_path / "home", tmp_path / "copy"):  # as on a disk without locks
        lock.mark_of(home / "lock").touch()
    assert status_of("ls", "--home", str(tmp_path / "copy")) == exits.NOT_RUNNING
    assert status_of("ls", "--home", str(tmp_path / "home")) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows moves no folder that is in use")
def test_a_home_that_was_moved_still_is_that_of_its_node(tmp_path: Path) -> None:
    with served_in_thread(tmp_path / "home"):
        (tmp_path / "home").rename(tmp_path / "moved")
        assert status_of("ls", "--home", str(tmp_path / "moved")) == 0
        assert status_of("ls", "--home", str(tmp_path / "home")) == exits.NOT_RUNNING
        (tmp_path / "moved").rename(tmp_path / "home")


def test_a_start_removes_what_a_killed_node_left(tmp_path: Path) -> None:
    left_behind(tmp_path / "home", "127.0.0.1:1")
    with closing(Home.open(tmp_path / "home")):
        assert control_file.read_control(tmp_path / "home") is None
        with pytest.raises(NotRunning, match="starting or ending"):
            ControlClient(tmp_path / "home").get("/v1/status")


@pytest.mark.parametrize("damage", [b"", b"\0" * 300, b"[]", b'{"address": 5}', b"[" * 5000])
def test_a_damaged_control_file_is_told_with_the_way_out(tmp_path: Path, damage: bytes) -> None:
    with closing(Home.open(tmp_path / "home")) as home:
        (home.path / "control.json").write_bytes(damage)
        with pytest.raises(NotRunning, match=r"control\.json is damaged.*start it again"):
            ControlClient(home.path).get("/v1/status")


def test_a_home_of_another_user_is_told_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(tmp_path / "home", "127.0.0.1:1")
    whole = Path.open

    def refused(path: Path, *args: Any, **more: Any) -> Any:
        if path.name in {"control.json", "lock"}:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return whole(path, *args, **more)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(HomeError, match="this user may not"):
        ControlClient(tmp_path / "home").get("/v1/status")


# Locks -----------------------------------------------------------------------------------------


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system of which the system says that it has no locks."""
    fcntl = pytest.importorskip("fcntl")

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(fcntl, "lockf", flock)


def test_a_disk_without_locks_works(no_locks: None, node: FakeNode, tmp_path: Path) -> None:
    assert lock.mark_of(tmp_path / "home" / "lock").exists()
    assert status_of("ls") == 0
    assert status_of("stop") == 0


@pytest.mark.usefixtures("no_locks", "hasty")
@pytest.mark.parametrize("serve", FOREIGN, ids=lambda one: one.__name__)
def test_on_a_disk_without_locks_only_a_proof_counts(
    tmp_path: Path, foreign: Foreign, serve: Serve
) -> None:
    left_behind(tmp_path / "home", foreign(serve))
    status = status_of("ls", "--home", str(tmp_path / "home"))
    assert status in {exits.NOT_RUNNING, exits.NETWORK}


def test_a_lock_file_without_a_node_is_no_node(tmp_path: Path) -> None:
    left_behind(tmp_path, "127.0.0.1:1")
    assert (tmp_path / "lock").exists()
    assert control_file.is_node_running(tmp_path) is False
    assert control_file.is_node_running(tmp_path / "nowhere") is False
    with closing(Home.open(tmp_path)):
        assert control_file.is_node_running(tmp_path) is True
        with pytest.raises(HomeError, match="another node is running"):
            Home.open(tmp_path)


def test_a_command_that_looks_keeps_no_node_from_starting(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    left_behind(tmp_path, "127.0.0.1:1")
    whole, looks = fcntl.flock, []
    with pytest.MonkeyPatch.context() as patch, (tmp_path / "lock").open("rb") as looking:
        whole(looking, fcntl.LOCK_SH | fcntl.LOCK_NB)

        def flock(descriptor: int, how: int) -> None:
            looks.append(how)
            if len(looks) == 3:
                whole(looking, fcntl.LOCK_UN)
            whole(descriptor, how)

        patch.setattr(fcntl, "flock", flock)
        Home.open(tmp_path).close()
    assert len(looks) == 3


def test_the_control_file_is_json_with_the_home(tmp_path: Path) -> None:
    left_behind(tmp_path, "127.0.0.1:1")
    told = json.loads((tmp_path / "control.json").read_text())
    assert os.path.realpath(tmp_path) in told["home"]
    assert control_file.is_of(tmp_path)
