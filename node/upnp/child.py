"""What runs in a process of its own: miniupnpc, asked by lines on standard input.

Each line in is `[number, name of a call, arguments]` in JSON, and each line out `[number, ok,
answer]`; an answer that is not ok is the reason. The process ends when its input does, even in the
middle of a call. It is started by its file name and imports nothing of modswarm: so it begins fast,
and no folder named `node` in the working directory can take its place.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

_MEMORY_BYTES = 256 << 20
"""Of address space. The interpreter with miniupnpc takes about 60 MB; a description that a router
sends takes some kB, and miniupnpc keeps whatever comes."""

_TEXT_CHARS = 200
"""Of a text that a router gave."""

_INPUT = 0


def main() -> None:
    """Answer until the input ends."""
    _bound()
    import miniupnpc

    found = miniupnpc.UPnP()
    calls: dict[str, Callable[..., Any]] = {
        "discover": lambda delay_ms: _discover(found, delay_ms),
        "select": lambda: (found.selectigd(), found.lanaddr)[1],
        "external_address": found.externalipaddress,
        "add": lambda protocol, outer, inner, lease_s: found.addportmapping(
            outer, protocol, found.lanaddr, inner, "modswarm", "", lease_s
        ),
        "mapped": lambda protocol, outer: _mapped(found, protocol, outer),
        "delete": lambda protocol, outer: found.deleteportmapping(outer, protocol),
    }
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    while True:
        number, name, arguments = json.loads(lines.get())
        try:
            answer, ok = calls[name](*arguments), True
        except Exception as error:  # noqa: BLE001 - miniupnpc raises nothing more specific
            answer, ok = str(error), False
        if isinstance(answer, str):
            answer = answer[:_TEXT_CHARS]
        sys.stdout.write(json.dumps([number, ok, answer]) + "\n")
        sys.stdout.flush()


def _bound() -> None:
    """Leave ends to the parent, and take no more memory than any honest answer needs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    for kind, most in ((resource.RLIMIT_AS, _MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(OSError, ValueError):  # macOS refuses some of them
            resource.setrlimit(kind, (most, most))


def _read(lines: "queue.SimpleQueue[bytes]") -> None:
    """Hand the lines on; end the process with the last, whatever it is waiting for."""
    kept = b""
    while data := os.read(_INPUT, 4096):
        *whole, kept = (kept + data).split(b"\n")
        for line in whole:
            lines.put(line)
    os._exit(0)


def _discover(found: Any, delay_ms: int) -> int:
    found.discoverdelay = delay_ms
    return int(found.discover())


def _mapped(found: Any, protocol: str, outer_port: int) -> tuple[bool, int] | None:
    """Whether an outside port is forwarded to this machine, and to which port; None: nowhere."""
    known = found.getspecificportmapping(outer_port, protocol)
    return None if known is None else (known[0] == found.lanaddr, int(known[1]))


if __name__ == "__main__":
    main()
