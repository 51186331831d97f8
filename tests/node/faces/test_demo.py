"""The demo, played as a person plays it, and what is left of it when it is ended early."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from node.faces.cli import exits
from node.faces.cli.bars import Bar
from node.faces.cli.client import ControlClient
from node.faces.cli.main import main
from node.faces.demo import comparison, packages, processes, story
from node.faces.demo.overlay import Overlay
from node.faces.demo.processes import NodeProcess
from protocol.content.link import ModLink
from protocol.errors import BadFolder, CallFailed, ModswarmError
from tests.identities import give_identities
from tests.node.faces.fake_node import LINK, PEER, FakeNode, served_in_thread

SHARER, GETTER = b"\1" * 20, b"\2" * 20

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")

FIGURES = {
    "ok": bool,
    "nodes": int,
    "mod_id": str,
    "files": int,
    "bytes": int,
    "seconds": float,
    "join_ms": float,
    "lookup_ms": float,
    "connect_ms": float,
    "transfer_MBps": float,
    "record_hops": int,
    "signaled_via": list,
    "verified": bool,
}
"""The contract of `--json`, with types."""


def make_folder(folder: Path) -> Path:
    rng = random.Random(2)
    (folder / "textures" / "hats").mkdir(parents=True)
    (folder / "readme ü.txt").write_text("hats\n" * 1000)
    (folder / "empty").touch()
    (folder / "textures" / "hats" / "red.bin").write_bytes(rng.randbytes(700_000))
    (folder / "textures" / "hats" / "same.bin").write_bytes(b"\0" * 400_000)
    return folder


def test_the_demo_carries_a_folder_through_eight_nodes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(processes, "make_identities", lambda homes, _: give_identities(homes))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    folder = make_folder(tmp_path / "hats")
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--path", str(folder), "--json"])
    printed = capsys.readouterr()
    assert ended.value.code == exits.OK, printed
    (line,) = printed.out.splitlines()
    result = json.loads(line)
    assert {name: type(value) for name, value in result.items()} == FIGURES
    assert list(result) == list(FIGURES)
    assert (result["ok"], result["verified"], result["nodes"]) == (True, True, 8)
    assert (result["files"], result["bytes"]) == (4, 1_105_000)
    assert result["signaled_via"]
    assert result["transfer_MBps"] > 0
    steps = ("Joined", "Shared", "Looked up", "Signaled", "Linked", "Transferred", "Verified")
    places = [printed.err.index(step) for step in steps]
    assert places == sorted(places)
    assert list((tmp_path / "temporary").iterdir()) == []


PROGRAM = (
    "from node.faces.cli.main import main\n"
    "from node.faces.demo import processes\n"
    "from tests.identities import give_identities\n"
    "processes.make_identities = lambda homes, _: give_identities(homes)\n"
    "main(['demo', '--nodes', '3', '--path', {path!r}])\n"
)


def start_demo(folder: Path, temporary: Path) -> "subprocess.Popen[str]":
    """A demo in the middle of its work, with three nodes."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(path=str(folder))],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while len(list(temporary.glob("*/nodes/*/home/control.json"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@posix
def test_ended_early_the_demo_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    process = start_demo(make_folder(tmp_path / "hats"), tmp_path)
    nodes = psutil.Process(process.pid).children(recursive=True)
    assert len(nodes) >= 2
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told.strip()) == (exits.INTERRUPTED, "Interrupted.")
    assert not any(node.is_running() for node in nodes)
    assert [path.name for path in tmp_path.iterdir()] == ["hats"]


@posix
def test_when_the_demo_is_killed_its_nodes_end_by_themselves(tmp_path: Path) -> None:
    process = start_demo(make_folder(tmp_path / "hats"), tmp_path)
    nodes = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=30)
    _, alive = psutil.wait_procs(nodes, timeout=30)
    assert alive == []


def test_failures_of_node_processes_are_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(processes.ProcessFailed):
        processes.make_identities([tmp_path / "home"], print)
    assert capfd.readouterr().err.startswith("Error: cannot use")
    node = processes.NodeProcess(tmp_path)
    node.start()
    with pytest.raises(processes.ProcessFailed, match="is a file"):
        processes.wait_until(lambda: node.running() is not None, 30, "starting")
    assert "is a file" in node.log_tail()
    assert node.end() == exits.USAGE


def test_making_identities_tells_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = tmp_path / "maker.py"
    maker.write_text("")
    monkeypatch.setattr(processes, "_MAKE_IDENTITY", (sys.executable, str(maker)))
    monkeypatch.setattr(processes, "_SAY_S", 0.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    said: list[int] = []
    processes.make_identities([tmp_path / str(number) for number in range(3)], said.append)
    assert said == [1, 2, 3]


def change_a_byte(folder: Path) -> None:
    file = folder / "textures" / "hats" / "red.bin"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def cut(folder: Path) -> None:
    (folder / "readme ü.txt").write_bytes(b"hats\n" * 999)


def lengthen(folder: Path) -> None:
    (folder / "empty").write_bytes(b"\0")


def add(folder: Path) -> None:
    (folder / "more").touch()


def rename(folder: Path) -> None:
    (folder / "empty").rename(folder / "void")


@pytest.mark.parametrize("change", [change_a_byte, cut, lengthen, add, rename])
def test_the_comparison_sees_every_difference(tmp_path: Path, change: object) -> None:
    left, right = make_folder(tmp_path / "left"), make_folder(tmp_path / "right")
    same = comparison.compare(left, right)
    assert (same.files, same.bytes, len(same.digest)) == (4, 1_105_000, 64)
    assert callable(change)
    change(right)
    for pair in ((left, right), (right, left)):
        with pytest.raises(comparison.Different):
            comparison.compare(*pair)


@pytest.mark.parametrize("change", [change_a_byte, cut, lengthen, add, rename])
def test_where_files_were_left_out_the_others_are_compared(tmp_path: Path, change: object) -> None:
    """Not even listed are those left out: links may make an endless tree of them."""
    left, right = make_folder(tmp_path / "left"), make_folder(tmp_path / "right")
    (left / "logs").mkdir()
    (left / "logs" / "latest.log").write_text("left out")
    if os.name == "posix":
        for name in "ab":
            (left / "logs" / name).symlink_to(".")
    same = comparison.compare(left, right, shared=4)
    assert (same.files, same.bytes) == (4, 1_105_000)
    with pytest.raises(comparison.Different, match="5 files were shared, and 4 came"):
        comparison.compare(left, right, shared=5)
    assert callable(change)
    change(right)
    with pytest.raises(comparison.Different):
        comparison.compare(left, right, shared=4)


def test_the_largest_package_is_a_folder_with_code(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = packages.largest_package()
    assert (folder / "__init__.py").is_file()
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(folder / "nowhere"))
    with pytest.raises(BadFolder):
        packages.largest_package()


@pytest.fixture
def fake_overlay(tmp_path: Path) -> Iterator[tuple[Overlay, FakeNode, FakeNode]]:
    """Two nodes that answer from memory: the demo must not believe everything."""
    built = Overlay(tmp_path, 2)
    with served_in_thread(tmp_path / "a") as sharer, served_in_thread(tmp_path / "b") as getter:
        built.endpoints = [NodeProcess(tmp_path), NodeProcess(tmp_path)]
        for process, fake in zip(built.endpoints, (sharer, getter), strict=True):
            process.client = ControlClient(fake.home.path)
        yield built, sharer, getter


def carry_in(built: Overlay, tmp_path: Path) -> dict[str, Any]:
    source, target = tmp_path / "source", tmp_path / "target"
    return story.carry(built, source, target, lambda *_: None, Bar())


def test_the_demo_compares_the_bytes_itself(
    tmp_path: Path, fake_overlay: tuple[Overlay, FakeNode, FakeNode]
) -> None:
    built, _, getter = fake_overlay
    make_folder(tmp_path / "source")
    make_folder(tmp_path / "target")
    told = carry_in(built, tmp_path)
    assert (told["files"], told["bytes"], told["join_ms"]) == (4, 1_105_000, 12.5)
    assert getter.asked[0] == ("get", LINK, tmp_path / "target", None)
    change_a_byte(tmp_path / "target")
    with pytest.raises(comparison.Different, match=r"red\.bin"):
        carry_in(built, tmp_path)


@pytest.mark.parametrize("signaled_via", [(), (SHARER,), (PEER, GETTER)])
def test_the_demo_insists_that_others_carried_the_call(
    tmp_path: Path,
    fake_overlay: tuple[Overlay, FakeNode, FakeNode],
    signaled_via: tuple[bytes, ...],
) -> None:
    built, sharer, getter = fake_overlay
    make_folder(tmp_path / "source")
    make_folder(tmp_path / "target")
    sharer.peer_id, getter.peer_id = SHARER, GETTER
    getter.sharing.signaled_via = signaled_via
    with pytest.raises(CallFailed):
        carry_in(built, tmp_path)


def test_the_demo_refuses_a_link_with_hints(
    tmp_path: Path, fake_overlay: tuple[Overlay, FakeNode, FakeNode]
) -> None:
    built, sharer, _ = fake_overlay
    sharer.sharing.link = ModLink(LINK.mod_id, LINK.content_key, ("127.0.0.1:4001",))
    with pytest.raises(ModswarmError, match="names addresses"):
        carry_in(built, tmp_path)
