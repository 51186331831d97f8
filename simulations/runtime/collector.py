"""Python's cyclic garbage collector, set for worlds that live long and make few cycles.

By default it walks all young objects every few hundred allocations, and all objects each time their
number has grown by a quarter. In a world of a thousand nodes that took half of the time and found
nothing.
"""

import contextlib
import gc
from collections.abc import Iterator
from typing import Final

YOUNG_OBJECTS: Final = 500_000
"""Net allocations between two walks of the youngest generation: some tens of MiB."""
MIDDLE_WALKS: Final = 20
OLD_WALKS: Final = 50


@contextlib.contextmanager
def collecting_rarely() -> Iterator[None]:
    """Collect seldom until the `with` block ends.

    What a settled world left is collected there, as Python reports an error in what it collects to
    the code that runs at that time: that is the world's own, then, and no later one's.
    """
    before = gc.get_threshold()
    gc.set_threshold(YOUNG_OBJECTS, MIDDLE_WALKS, OLD_WALKS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if gc.get_freeze_count():
            gc.unfreeze()
            gc.collect()


def collect_now() -> None:
    """While collecting rarely, collect once: what ended nodes and links leave is large."""
    if gc.get_threshold()[0] == YOUNG_OBJECTS:
        gc.collect()


def freeze_survivors() -> None:
    """While collecting rarely, never walk again over what exists now: a settled world lives long.

    What of it becomes garbage in cycles, as nodes that churn away do, stays until the block ends.
    """
    if gc.get_threshold()[0] == YOUNG_OBJECTS:
        gc.freeze()
