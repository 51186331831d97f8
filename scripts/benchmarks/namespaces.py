"""Network namespaces of this machine's kernel, for lines that are real."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator


def why_not(*tools: str) -> str | None:
    """What this machine lacks to make them and to use these tools in them, or None."""
    if os.name != "posix" or os.geteuid() != 0:
        return "namespaces need root"
    for tool in ("ip", *tools):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    try:
        with namespaces("trial"):
            return None
    except subprocess.CalledProcessError as error:  # such as root without capabilities
        return f"{' '.join(error.cmd)}: {error.stderr.decode(errors='replace').strip()}"


@contextlib.contextmanager
def namespaces(*ends: str) -> Iterator[list[str]]:
    """One for each end, with its loopback up; gives their names, and deletes them."""
    names = [f"modswarm-bench-{os.getpid()}-{end}" for end in ends]
    try:
        for name in names:
            command("ip", "netns", "add", name)
            command("ip", "-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)


def inside(name: str) -> tuple[str, ...]:
    """What to put before a command that is to run in a namespace."""
    return ("ip", "netns", "exec", name)


def command(*words: str) -> None:
    """Run a command; raises CalledProcessError."""
    subprocess.run(words, check=True, capture_output=True)
