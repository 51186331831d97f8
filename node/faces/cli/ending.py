"""How a running node is asked to end: by a signal, by its parent's death, or by the control API.

The first signal asks; the second ends the process at once.
"""

import asyncio
import contextlib
import os
import signal
import threading
from types import FrameType

from node.faces.cli import exits

_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP")
"""SIGBREAK is Ctrl-Break on Windows, SIGHUP a closed terminal elsewhere."""

_STDIN = 0


class Ending:
    """Whether the process is asked to end.

    Until `attach` a signal ends the process where it stands, as no write of a start can be cut in
    half; then it sets `asked`.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signaled = False

    def watch_signals(self) -> None:
        """Take the signals over, on every platform in the same way (main thread only)."""
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is None:
                continue
            if name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started by nohup
            signal.signal(number, self._on_signal)

    def attach(self) -> None:
        """From now on signals set `asked` in the running loop."""
        self._loop = asyncio.get_running_loop()

    def watch_stdin(self) -> None:
        """End when standard input closes, as it does when the process that holds it dies."""
        threading.Thread(target=self._drain_stdin, daemon=True).start()

    def ask(self) -> None:
        """Ask the process to end; from any thread, after `attach`."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self.asked.set)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signaled:
            os._exit(exits.INTERRUPTED)
        self._signaled = True
        if self._loop is None:
            os._exit(exits.OK)
        self.ask()

    def _drain_stdin(self) -> None:
        # Not by sys.stdin: its lock, held by a daemon thread, would break the interpreter's exit.
        # An error of it means as well that no program holds its other end any more.
        with contextlib.suppress(OSError):
            while os.read(_STDIN, 4096):
                pass
        self.ask()


def leave_within(seconds: float, status: int) -> None:
    """End the process after `seconds`, unless it has ended by itself.

    A name lookup that hangs in the resolver keeps its thread, and Python waits for threads.
    """
    timer = threading.Timer(seconds, os._exit, (status,))
    timer.daemon = True
    timer.start()
