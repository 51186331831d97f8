"""What stands at the other end of stdout and stderr decides neither work nor status nor life."""

import errno
import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.faces.cli.client import ControlClient
from node.faces.cli.terminal import interrupts
from node.faces.log import log_to_file
from node.machine import streams
from node.machine.streams import Pump, harmless
from protocol.errors import NotRunning
from protocol.identity import peer_id_text
from tests.identities import give_identities
from tests.node.faces.commands import status_of
from tests.node.faces.fake_node import LINK, MOD_ID, PEER, FakeNode, stored_mod

COMMANDS = (
    *(["status"], ["id"], ["ls"], ["peers"], ["links"], ["share", "some/folder"], ["doctor"]),
    *(["get", str(LINK)], ["connect", peer_id_text(PEER)], ["dht", "crawl"], ["rm", "hats"]),
)
GONE_S = 30.0


class Sink(io.RawIOBase):
    """The system's end of a stream: keeps what is written, or refuses it."""

    def __init__(self, refusal: str | None = None) -> None:
        super().__init__()
        self.written = b""
        self._refusal = refusal

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if self._refusal is not None:
            number = getattr(errno, self._refusal)
            raise OSError(number, os.strerror(number))
        self.written += bytes(data)
        return len(data)


def text(sink: Sink, encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(sink), encoding=encoding, errors="strict")


@pytest.mark.parametrize("refusal", ["EPIPE", "EIO"])
@pytest.mark.parametrize("args", COMMANDS, ids=lambda args: args[0])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_reader_that_is_gone_or_full_changes_no_status(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, refusal: str, args: list[str], as_json: bool
) -> None:
    monkeypatch.setattr(sys, "stdout", text(Sink(refusal)))
    monkeypatch.setattr(sys, "stderr", text(Sink(refusal)))
    assert status_of(*args, *(["--json"] if as_json else [])) == 0
    assert status_of("nonsense") == 2
    assert status_of("ls", "--home", "elsewhere") == 3


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437"])
def test_letters_that_the_other_end_lacks_are_told_by_number(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    node.sharing.mod_list = [stored_mod(MOD_ID, "\u5e3d hats")]
    out = Sink()
    monkeypatch.setattr(sys, "stdout", text(out, encoding))
    assert status_of("ls") == 0
    shown = rb"\u5e3d hats", "\u5e3d hats".encode()  # where it is ASCII, click takes UTF-8
    assert any(one in out.written for one in shown)
    assert str(LINK).encode()[:20] in out.written


def test_a_full_reader_is_told_where_it_can_be(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    err = Sink()
    monkeypatch.setattr(sys, "stdout", text(Sink("ENOSPC")))
    monkeypatch.setattr(sys, "stderr", text(err))
    assert status_of("ls") == 0
    assert b"standard output cannot be written: the disk is full" in err.written


@pytest.mark.parametrize("args", COMMANDS, ids=lambda args: args[0])
def test_no_streams_at_all(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    monkeypatch.setattr(streams, "_raw_of", lambda *_: Sink())
    assert status_of(*args) == 0


@pytest.mark.parametrize(("columns", "term"), [("0", "dumb"), ("-3", "xterm"), ("x", "")])
def test_a_terminal_without_width_or_skill(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, columns: str, term: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", term)
    for words in (["get", str(LINK)], ["share", "some/folder"], ["ls"], ["--help"]):
        with monkeypatch.context() as terminal:
            terminal.setattr("node.faces.cli.bars.sys.stderr.isatty", lambda: True, raising=False)
            assert status_of(*words) == 0


def test_a_stuck_reader_keeps_no_writer() -> None:
    taken, may_go = [], threading.Event()

    def write(data: bytes) -> int:
        assert may_go.wait(GONE_S)
        taken.append(data)
        return len(data)

    pump = Pump(write, lambda error: None)
    for _ in range(1000):
        assert pump.take(b"x" * 1024) == 1024
    assert taken == []
    may_go.set()
    pump.end()
    assert 0 < sum(map(len, taken)) <= 2**18  # what is more is lost, and no memory grows


def test_a_reader_that_fails_in_the_background_does_not_stop_the_other_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    err = Sink()
    monkeypatch.setattr(sys, "stdout", text(Sink("EIO")))
    monkeypatch.setattr(sys, "stderr", text(err))
    with harmless(background=True):
        for stream in (sys.stdout, sys.stderr):
            stream.write("kept\n")
            stream.flush()
    assert b"kept\n" in err.written


def test_ctrl_c_ends_a_command_that_has_no_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(interrupts, "_STDERR", 10**6)  # which is not open
    monkeypatch.setattr(os, "_exit", ended.append)
    leave: Callable[[int], None] = interrupts.leave
    leave(130)
    assert ended == [130]


def test_a_full_disk_under_the_log_is_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before = list(logging.getLogger().handlers)
    log_to_file(tmp_path / "log.txt")
    (handler,) = (one for one in logging.getLogger().handlers if one not in before)
    try:
        handler.handle(_record("a name with \udcff"))
        assert b"a name with ?" in (tmp_path / "log.txt").read_bytes()
        number = errno.ENOSPC

        def full(*_: object) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(handler.stream, "write", full)  # type: ignore[attr-defined]
        handler.handle(_record("lost"))
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
    assert capfd.readouterr().err.count("Traceback") == 0


def _record(words: str) -> logging.LogRecord:
    return logging.LogRecord("node", logging.WARNING, "here", 1, words, (), None)


NODE = "import sys; from node.faces.cli.main import main; main(sys.argv[1:])"


@pytest.mark.skipif(sys.platform != "linux", reason="fills a pipe as Linux has them")
def test_a_node_whose_output_nobody_reads_lives_and_serves(tmp_path: Path) -> None:
    """All at once: the pipe is full, of letters of Windows, and there is no input."""
    home = tmp_path / "h\u5e3d"
    give_identities([home])
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for piece in (65536, 1):  # to the last byte
        while _fill(writer, piece):
            pass
    os.set_blocking(writer, True)
    command = [sys.executable, "-c", NODE, "run", "--home", str(home), "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--upnp", "off", "-vv"],
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=writer,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
    )
    try:
        client = ControlClient(home)
        status = _when_running(client, process)
        assert status["contacts"] == 0
        assert client.post("/v1/stop", {}) == {"stopping": True}
        assert process.wait(GONE_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)


def _fill(writer: int, piece: int) -> bool:
    try:
        return os.write(writer, b"x" * piece) > 0
    except BlockingIOError:
        return False


def _when_running(client: ControlClient, process: "subprocess.Popen[bytes]") -> Any:
    ends_at = time.monotonic() + GONE_S
    while True:
        try:
            return client.get("/v1/status")
        except NotRunning:
            assert process.poll() is None
            assert time.monotonic() < ends_at
            time.sleep(0.02)
