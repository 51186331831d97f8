"""A peer in a process of its own: it is told and tells lines of JSON."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Process:
    """A running `python program OPTIONS`; `prefix` is a command that starts it elsewhere."""

    def __init__(self, program: Path, options: dict[str, Any], prefix: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*prefix, sys.executable, str(program), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def hear(self) -> Any:
        """The next line that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a peer of the benchmark ended early")
        return json.loads(line)

    def tell(self, value: Any) -> None:
        """Say a line to it."""
        assert self._process.stdin is not None
        print(json.dumps(value), file=self._process.stdin, flush=True)

    def end(self) -> None:
        """Let it end, and wait."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
