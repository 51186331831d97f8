"""A process to kill: stores chunks until it is told, or made, to stop.

`python -m tests.node.content.vault_writer FOLDER STEP` prints the number of each batch that is
acknowledged. At the STEP-th step it prints "stop" and waits for standard input, which never comes:
in the middle of a write, before the disk is synchronised, or before the index commits what it
recorded. With step 0 it never stops.
"""

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.content.vault import index
from node.content.vault.store import Store
from protocol.content import sealing

BATCH = 4


def batch(number: int) -> list[tuple[bytes, bytes]]:
    """Some chunks of random sizes; the same in every process."""
    rng = random.Random(number)
    parts = [rng.randbytes(rng.randrange(1, 60_000)) for _ in range(BATCH)]
    return [(sealing.address_of(part), part) for part in parts]


def say(line: object) -> None:
    """Tell the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class _Stopper:
    """Counts the steps of the writer, and stops at one of them."""

    def __init__(self, step: int) -> None:
        self._left = step

    def comes(self) -> bool:
        self._left -= 1
        return self._left == 0

    @staticmethod
    def stop() -> None:
        say("stop")
        sys.stdin.read()

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            if self.comes():
                self.stop()
            return function(*arguments)

        return wrapped

    def after(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            result = function(*arguments)
            if self.comes():
                self.stop()
            return result

        return wrapped

    def within(self, write: Callable[[int, bytes], int]) -> Callable[[int, bytes], int]:
        def wrapped(descriptor: int, data: bytes) -> int:
            if self.comes():
                write(descriptor, data[: len(data) // 2])
                self.stop()
            return write(descriptor, data)

        return wrapped


def main() -> None:
    """Write until killed."""
    folder, step = Path(sys.argv[1]), int(sys.argv[2])
    store = Store(folder)
    store.put(batch(0))
    say(0)
    if step:
        stopper = _Stopper(step)
        os.write = stopper.within(os.write)  # type: ignore[assignment]
        os.fsync = stopper.before(os.fsync)
        index.Index.record = stopper.after(index.Index.record)  # type: ignore[method-assign]
    number = 1
    while True:
        store.put(batch(number))
        say(number)
        number += 1


if __name__ == "__main__":
    main()
