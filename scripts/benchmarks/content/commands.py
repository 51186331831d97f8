"""Commands that are timed, each with the processor time that it took."""

import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

LIMIT_S = 240.0
_END_S = 5.0

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command said and took."""

    seconds: float
    cpu_s: float
    status: int
    output: str
    errors: str


def timed(command: Sequence[str], limit_s: float = LIMIT_S) -> Ran:
    """Run a command to its end, or kill it after so long."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        timer = threading.Timer(limit_s, process.kill)
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        cpu_s = usage.ru_utime + usage.ru_stime
        return Ran(seconds, cpu_s, process.returncode, output.read(), errors.read())


def at_once(works: Sequence[Callable[[], _Result]]) -> list[_Result]:
    """Do all of them beside one another; raises what the first that fails raised."""
    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result() for future in [pool.submit(work) for work in works]]


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process to end, and see that it does."""
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A TCP port of loopback that is free."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
