"""Network namespaces, and a thread in each that works there."""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from scripts.benchmarks import namespaces

PREFIX = "netlab"
_NAMED = Path("/run/netns")
_CLONE_NEWNET = 0x40000000


def why_not() -> str | None:
    """What this machine lacks for a lab, or None."""
    return namespaces.why_not("nft", "miniupnpd")


Result = TypeVar("Result")


class Space:
    """A namespace of this kernel. A socket or a process that is made by `within` belongs to it."""

    def __init__(self, name: str) -> None:
        self.name = f"{PREFIX}-{os.getpid()}-{name}"
        command("ip", "netns", "add", self.name)
        self._thread = ThreadPoolExecutor(1, self.name, initializer=enter, initargs=(self.name,))
        # Addresses here are never doubled, and looking for doubles takes a second.
        for scope in ("all", "default"):
            self.set(f"ipv6/conf/{scope}/accept_dad", 0)
        self.ip("link", "set", "lo", "up")

    def within(self, work: Callable[[], Result]) -> Result:
        """Do it in the namespace's thread and wait; raises what it raises."""
        return self.begin(work).result()

    def begin(self, work: Callable[[], Result]) -> Future[Result]:
        """Do it in the namespace's thread, after what is asked for already."""
        return self._thread.submit(work)

    def ip(self, *words: str) -> None:
        """`ip` with these words, in here."""
        command("ip", "-n", self.name, *words)

    def set(self, name: str, value: int) -> None:
        """Set a `net.` kernel parameter, given as a path below /proc/sys/net, if there is one."""
        path = Path("/proc/sys/net", name)
        self.within(lambda: path.write_text(str(value)) if path.exists() else None)

    def rules(self, text: str) -> None:
        """Load an nftables ruleset."""
        self.within(lambda: command("nft", "-f", "-", given=text))

    def tracked(self) -> list[str]:
        """The lines of the kernel's connection tracking."""
        return self.within(Path("/proc/thread-self/net/nf_conntrack").read_text).splitlines()

    def udp(self, host: str, port: int = 0) -> socket.socket:
        """A bound UDP socket."""

        def make() -> socket.socket:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            made = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind((host, port))
            return made

        return self.within(make)

    def close(self) -> None:
        """End the thread and remove the namespace."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        remove(self.name)


def enter(name: str) -> None:
    """Move this thread into a namespace; raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    handle = os.open(_NAMED / name, os.O_RDONLY)
    try:
        if library.setns(handle, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(handle)


def remove(name: str) -> None:
    """End what still runs in a namespace, and remove it."""
    listed = subprocess.run(
        ("ip", "netns", "pids", name), check=False, capture_output=True, text=True
    )
    for word in listed.stdout.split():
        if int(word) != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(word), signal.SIGKILL)
    subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder for the files of this lab, which is removed at the end."""
    made = Path(tempfile.gettempdir(), f"{PREFIX}-{os.getpid()}-files")
    made.mkdir(mode=0o700)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def remove_leftovers() -> list[str]:
    """Remove the namespaces and folders of labs whose process is gone; their names."""
    names = [path.name for path in _NAMED.glob(f"{PREFIX}-*")] if _NAMED.exists() else []
    left = [name for name in names if not _lives(name)]
    for name in left:
        remove(name)
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*-files"):
        if not _lives(path.name):
            shutil.rmtree(path, ignore_errors=True)
            left.append(path.name)
    return left


def _lives(name: str) -> bool:
    owner = name.split("-")[1]
    if not owner.isdigit():
        return False
    try:
        return b"scripts.lab" in Path("/proc", owner, "cmdline").read_bytes()
    except OSError:
        return False


def command(*words: str, given: str | None = None) -> None:
    """Run a command; raises RuntimeError with what it said."""
    done = subprocess.run(words, check=False, input=given, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()[:500]}")
