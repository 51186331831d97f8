"""The preloaded library that stands between a process and its disk, and how to speak to it."""

import ctypes
import enum
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("disk_shim.c")


class How(enum.IntFlag):
    """What happens at the n-th operation, and what is logged."""

    LOG = 1
    KILL = 2
    REFUSE = 4
    STICKY = 8
    """From the n-th on all that take room are refused, until `lift`."""
    HALF = 16
    """If it is a write, half of it is done before."""
    NO_FLUSH = 32
    """Nothing is really flushed: the system outlives the process, and the log has the flushes."""


def build(folder: Path) -> Path:
    """Compile the library into `folder`; skips the test where that is not possible."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("there is no C compiler (cc), which the shim below the disk needs")
    made = folder / "disk_shim.so"
    command: list[str | Path] = [
        compiler,
        "-shared",
        "-fPIC",
        "-O1",
        "-o",
        made,
        _SOURCE,
        "-ldl",
        "-lpthread",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the shim below the disk does not compile here: {done.stderr.strip()[:200]}")
    return made


def environment(library: Path) -> dict[str, str]:
    """That of a process with the library preloaded."""
    return {**os.environ, "LD_PRELOAD": str(library)}


class Shim:
    """The library that was preloaded into this process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self.is_full = False
        """Whether what takes room is refused until `lift`, and not once."""
        self._library.shim_begin.restype = None
        self._library.shim_end.restype = ctypes.c_long
        self._library.shim_count.restype = ctypes.c_long

    def begin(self, folder: Path, log: Path | str, how: How, point: int = 0, code: int = 0) -> None:
        """Watch the files below `folder`; the n-th operation is `point`, the first is 1."""
        names = os.fsencode(folder.resolve()), os.fsencode(log)
        self.is_full = How.STICKY in how
        self._library.shim_begin(*names, int(how), ctypes.c_long(point), code)

    def end(self) -> int:
        """Watch no more; returns how many operations there were."""
        return int(self._library.shim_end())

    def lift(self) -> None:
        """Refuse nothing any more."""
        self._library.shim_lift()

    def acknowledge(self, text: str) -> None:
        """Note between the operations that something was acknowledged."""
        self._library.shim_acknowledge(text.encode())
