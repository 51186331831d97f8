"""What killed `get`s have left beside their targets: the next one into the same folder removes it.

Blocking; `assembler` calls it in an executor.
"""

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

from node.content.hidden_names import what_is
from node.disk.lock import FolderLock
from node.disk.removing import remove_tree


def sweep(folder: Path, busy: Collection[Path]) -> None:
    """Remove what is left in a folder of `get`s that are gone. Never fails.

    `busy` are the locks of this process: to look at one of them may let go of it.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 (names, of many)
            hidden = what_is(folder / name)
            if hidden is not None and hidden[1] not in busy:
                with contextlib.suppress(OSError):
                    _remove(folder / name, *hidden)


def _remove(left: Path, kind: str, lock: Path) -> None:
    """Remove one thing; raises OSError where another process needs it.

    An update that has a plan may have begun: the node that began it finishes it, or takes it back.
    """
    if kind in {"lock", "part", "update"}:
        held = FolderLock.take_at_once(lock)  # many may be held, each by a `get` that goes on
        try:
            if kind == "update" and (left / "plan").exists():
                return
            if kind != "lock":
                # At once, so that a `get` to this place need not wait until all of it is gone.
                gone = left.with_suffix(".gone")
                remove_tree(gone)
                left.rename(gone)
                left = gone
            lock.unlink()
        finally:
            held.close()
    if kind != "lock":
        remove_tree(left)
