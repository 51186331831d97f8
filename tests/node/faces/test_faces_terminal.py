"""What a person at a terminal does: links that `ps` does not show, Ctrl-C, typing errors, logs."""

import io
import logging
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from node.faces.cli import exits
from node.faces.cli.terminal.typos import did_you_mean
from node.faces.log import log_to_file
from node.home import LOG_FILE
from protocol import limits
from protocol.identity import base32_text
from tests.node.faces.commands import status_of
from tests.node.faces.fake_node import LINK, MOD_ID, FakeNode, stored_mod

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")


class Terminal(io.StringIO):
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


# Links ------------------------------------------------------------------------------------


def test_get_asks_for_the_link_and_does_not_show_it(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(click.termui, "hidden_prompt_func", lambda _: f" {LINK} ")
    assert status_of("get") == exits.OK
    assert node.asked[-1][:2] == ("get", LINK)
    assert str(LINK) not in "".join(capsys.readouterr())


def test_get_reads_the_link_from_a_file(node: FakeNode, tmp_path: Path) -> None:
    (tmp_path / "link.txt").write_text(f"{LINK}\nnotes\n")
    assert status_of("get", "--link-file", "link.txt") == exits.OK
    assert node.asked[-1][:2] == ("get", LINK)


def test_the_link_file_may_be_standard_input(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(str(LINK)))
    assert status_of("get", "--link-file", "-") == exits.OK
    assert node.asked[-1][:2] == ("get", LINK)


@pytest.mark.parametrize("data", [None, b"", b"\xff\xfe", b"m" * 10**6])
def test_a_file_without_a_link_is_bad_input(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes | None
) -> None:
    if data is not None:
        (tmp_path / "link.txt").write_bytes(data)
    assert status_of("get", "--link-file", "link.txt") == exits.USAGE
    assert len(capsys.readouterr().err) < limits.LINK_TEXT_BYTES
    assert node.asked == []


def test_a_link_is_given_once_and_without_a_terminal_not_asked_for(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(str(LINK)))
    assert status_of("get") == exits.USAGE
    assert "Missing argument 'LINK'" in capsys.readouterr().err
    assert status_of("get", str(LINK), "--link-file", "x") == exits.USAGE
    assert node.asked == []


# What is meant ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["stat"], "did you mean status?"),
        (["PEERS"], "did you mean peers?"),
        (["dht", "lokup", "x"], "did you mean lookup?"),
        (["rm", "hat"], "did you mean hats?"),
        (["ls", "--jsno"], "--json"),
    ],
)
def test_the_name_that_was_meant_is_told(
    node: FakeNode, capsys: pytest.CaptureFixture[str], args: list[str], hint: str
) -> None:
    assert status_of(*args) in (exits.USAGE, exits.NOT_FOUND)
    assert hint in capsys.readouterr().err


def test_no_name_is_guessed_where_none_is_near() -> None:
    assert did_you_mean("qqqqqq", ["status", "share"]) == ""


@pytest.mark.parametrize(("answer", "removes"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_rm_by_the_beginning_of_an_id_asks(
    node: FakeNode,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    removes: bool,
) -> None:
    beginning = base32_text(MOD_ID)[:8]
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(click.termui, "visible_prompt_func", lambda _: answer.strip())
    status = status_of("rm", beginning)
    assert status == (exits.OK if removes else exits.FAILURE)
    told = capsys.readouterr().err
    assert ("Nothing was removed." in told, "Interrupted" in told) == (not removes, False)
    assert (("remove", MOD_ID) in node.asked) == removes


def test_rm_by_the_beginning_of_an_id_wants_a_yes_of_scripts(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    beginning = base32_text(MOD_ID)[:8]
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert status_of("rm", beginning) == exits.USAGE
    assert ("remove", MOD_ID) not in node.asked
    assert status_of("rm", beginning, "--yes") == exits.OK
    assert ("remove", MOD_ID) in node.asked


def test_versions_of_a_mod_are_told_apart(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.sharing.mod_list.append(stored_mod(bytes(32), "hats"))
    assert status_of("ls") == exits.OK
    _, first, second = capsys.readouterr().out.splitlines()
    assert base32_text(MOD_ID)[:12] in first.split()
    assert base32_text(bytes(32))[:12] in second.split()
    assert "2023-11-1" in first
    assert status_of("rm", "hats") == exits.USAGE
    assert f"{base32_text(MOD_ID)[:12]} of 2023-11-1" in capsys.readouterr().err


# Ctrl-C -----------------------------------------------------------------------------------


ENDS = {
    "ls": {exits.INTERRUPTED, exits.NOT_RUNNING},
    "run": {exits.OK},
    "demo": {exits.INTERRUPTED, exits.OK},
}


@posix
@pytest.mark.parametrize("command", [["ls"], ["run"], ["demo", "--nodes", "3"]])
@pytest.mark.parametrize("lines", [1, 40, 100, 180, 260, 400])
def test_ctrl_c_while_python_starts_is_no_traceback(
    tmp_path: Path, command: list[str], lines: int
) -> None:
    """Python names each module once it is imported: so many are, and then the signal comes."""
    process = subprocess.Popen(
        ["env", "--block-signal=INT", sys.executable, "-X", "importtime", "-m", "node", *command],
        env=os.environ | {"MODSWARM_HOME": str(tmp_path / "home")},
        cwd=Path(__file__).parents[3],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for _ in range(lines):
        process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert "Traceback" not in told
    assert "Exception ignored" not in told
    assert process.returncode in ENDS[command[0]]


@posix
@pytest.mark.parametrize("lines", [1, 40, 180])
def test_a_node_that_is_ended_while_python_starts_has_ended_well(
    tmp_path: Path, lines: int
) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "node", "run"]
    process = subprocess.Popen(
        ["env", "--block-signal=INT,TERM", *command],
        env=os.environ | {"MODSWARM_HOME": str(tmp_path / "home")},
        cwd=Path(__file__).parents[3],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for _ in range(lines):
        process.stderr.readline()
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert "Traceback" not in told
    assert process.returncode == exits.OK


@posix
def test_ctrl_c_within_an_import_that_swallows_it_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "swallows.py").write_text(
        "import os, signal\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    print('swallowed')\n"
    )
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from node.faces.cli.terminal.interrupts import watched\n"
        "with watched():\n"
        "    import swallows\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (exits.INTERRUPTED, "")
    assert done.stderr == "Interrupted.\n"


# Logs -------------------------------------------------------------------------------------


@pytest.fixture
def file_log(tmp_path: Path) -> Iterator[Path]:
    root, node = logging.getLogger(), logging.getLogger("node")
    handlers, level = list(root.handlers), node.level
    log_to_file(tmp_path / LOG_FILE)
    yield tmp_path / LOG_FILE
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    node.setLevel(level)


@posix
def test_the_log_file_is_private_and_has_what_the_node_did(file_log: Path) -> None:
    logging.getLogger("node.links").info("link opened")
    logging.getLogger("node.links").debug("a detail")
    logging.getLogger("aioice").info("of a library")
    logging.getLogger("aioice").warning("a warning of a library")
    text = file_log.read_text()
    assert "INFO node.links: link opened" in text
    assert "a warning of a library" in text
    assert "detail" not in text
    assert "of a library\n" in text
    assert stat.S_IMODE(file_log.stat().st_mode) == 0o600


def test_the_log_file_is_bounded_in_size_and_rate(file_log: Path) -> None:
    log = logging.getLogger("node.links")
    for number in range(10 * limits.LOG_LINES):
        log.info("refused %d", number)
    assert len(file_log.read_text().splitlines()) == limits.LOG_LINES
    write = "log.info('x' * (limits.LOG_FILE_BYTES // 10))\n"
    exec(write * 60, {"log": log, "limits": limits})
    kept = [file_log, file_log.with_name(f"{file_log.name}.1")]
    assert sorted(file_log.parent.iterdir()) == sorted(kept)
    assert all(path.stat().st_size <= limits.LOG_FILE_BYTES for path in kept)


def test_each_command_logs_with_v(
    node: FakeNode, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for verbose, told in (((), False), (("-v",), True), (("-vv",), True)):
        done = subprocess.run(
            [sys.executable, "-m", "node", "ls", *verbose],
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=True,
        )
        assert ("GET /v1/mods: 200" in done.stderr) == told
