"""Nodes as processes of their own, which end with their parent even if it is killed.

Each holds a pipe from us as its standard input and ends when that closes: the system closes it
even if this process is killed.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from node.faces.cli.client import ControlClient
from protocol.errors import LocalError

_PYTHON = (sys.executable, "-P", "-m")
"""-P: a folder named `node` in the current folder must not be taken for ours."""

_MAKE_IDENTITY = (*_PYTHON, "node.faces.demo.identity")

_POLL_S = 0.02
_END_S = 3.0
_SAY_S = 2.0
_WORDS_CHARS = 500
_WORRIES = re.compile(r"\b(WARNING|ERROR|CRITICAL|Error)\b")


class ProcessFailed(LocalError):
    """A node process ended before it was asked to."""


class NodesSlow(LocalError):
    """Nodes of this machine took longer than they may."""


_BUSY = "This computer is busy: end other programs, or use fewer nodes; then try again."


class NodeProcess:
    """`modswarm run` in the home `folder/home`. Make it, `start` it, `end` it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.home = folder / "home"
        self.client = ControlClient(self.home)
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and return at once."""
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [*_PYTHON, "node", "run", "--home", str(self.home), "--json"]
        with self._output.open("wb") as output, self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and arguments)
                [*command, "--until-stdin-closes", *self._options],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )

    def running(self) -> dict[str, Any] | None:
        """The event that the node printed when it was up; None before. Raises ProcessFailed."""
        line, newline, _ = self._output.read_bytes().partition(b"\n")
        if newline:
            told: dict[str, Any] = json.loads(line)
            if "error" in told:
                raise ProcessFailed(f"a node did not start: {told['error']['message']}")
            return told
        if self._process is not None and self._process.poll() is not None:
            raise ProcessFailed(f"a node process ended with status {self._process.returncode}")
        return None

    def log_tail(self) -> str:
        """The last warnings and errors in its log."""
        if self._process is None:
            return ""
        lines = self._log.read_text(errors="replace").splitlines()
        return " | ".join(line for line in lines if _WORRIES.search(line))[-_WORDS_CHARS:]

    def status(self) -> dict[str, Any]:
        """What `modswarm status --json` prints."""
        status: dict[str, Any] = self.client.get("/v1/status")
        return status

    def ask_to_end(self) -> None:
        """Close the pipe that keeps the node running."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def end(self) -> int | None:
        """Make sure that the process has ended; its exit status."""
        self.ask_to_end()
        process = self._process
        if process is None:
            return None
        for insist in (process.terminate, process.kill):
            try:
                return process.wait(_END_S)
            except subprocess.TimeoutExpired:
                insist()
        return process.wait()

    @property
    def _output(self) -> Path:
        return self._folder / "output.jsonl"

    @property
    def _log(self) -> Path:
        return self._folder / "log.txt"


def _environment() -> dict[str, str]:
    # A shared package must not grow caches of byte code while it is being read.
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


def end_all(processes: Iterable[NodeProcess]) -> None:
    """Ask all to end, then wait for all."""
    started = list(processes)
    for process in started:
        process.ask_to_end()
    for process in started:
        process.end()


def wait_until(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    """Poll until the condition holds; raises NodesSlow that names `what`."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise NodesSlow(f"{what} took longer than {limit_s:.0f} s", advice=_BUSY)
        time.sleep(_POLL_S)


def make_identities(homes: Iterable[Path], say_made: Callable[[int], None]) -> None:
    """Make homes with identities, as many at a time as there are processors.

    Says how many are made whenever that has grown, not more often than every _SAY_S. Raises
    ProcessFailed.
    """
    waiting = list(homes)
    working: list[subprocess.Popen[bytes]] = []
    total, said, say_at = len(waiting), 0, time.monotonic() + _SAY_S
    try:
        while waiting or working:
            while waiting and len(working) < (os.cpu_count() or 1):
                command = [*_MAKE_IDENTITY, str(waiting.pop())]
                working.append(subprocess.Popen(command))  # noqa: S603 (our own interpreter)
            time.sleep(_POLL_S)
            for process in working:
                if process.poll() not in {None, 0}:
                    raise ProcessFailed("an identity could not be made")
            working = [process for process in working if process.poll() is None]
            made = total - len(waiting) - len(working)
            if made > said and time.monotonic() >= say_at:
                say_made(made)
                said, say_at = made, time.monotonic() + _SAY_S
    finally:
        for process in working:
            process.kill()
            process.wait()
