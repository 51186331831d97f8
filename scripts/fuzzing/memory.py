"""Whether memory is flat: live objects over time, beside what bounded caches keep.

Caches of the code under test (contacts and addresses that were named) fill up for as long as
inputs are new, by thousands of objects. So they are emptied before each count, and counts of the
first half of a run, in which everything is met for the first time, are not judged.
"""

import functools
import gc
import time
from collections import Counter
from typing import Any

_COUNTS = 20
_ROOMS = ("protocol.", "node.", "simulations.")
_TYPES_TOLD = 5


class Memory:
    """Counts objects about _COUNTS times in a run of so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._every_s = seconds / _COUNTS
        self._due_at = time.monotonic() + self._every_s
        self._with_caches: list[int] = []
        self._counts: list[Counter[str]] = []

    def is_due(self) -> bool:
        """Whether it is time to count."""
        return time.monotonic() >= self._due_at

    def count(self) -> None:
        """Collect garbage and count, with the caches as they are and once more without."""
        self._due_at = time.monotonic() + self._every_s
        gc.collect()
        objects = gc.get_objects()
        self._with_caches.append(len(objects))
        for one in objects:
            if isinstance(one, functools._lru_cache_wrapper) and _is_ours(one):
                one.cache_clear()
        del objects
        gc.collect()
        self._counts.append(Counter(_type_name(one) for one in gc.get_objects()))

    def figures(self) -> dict[str, Any]:
        """Objects at the end with caches and without, how much these grew in the second half, and
        which types did most; nothing before the first count.
        """
        if not self._counts:
            return {}
        half, end = self._counts[len(self._counts) // 2], self._counts[-1]
        return {
            "objects_with_caches": self._with_caches[-1],
            "objects": end.total(),
            "growth": round(end.total() / half.total() - 1, 4),
            "grown": dict((end - half).most_common(_TYPES_TOLD)),
        }


def _is_ours(cache: Any) -> bool:
    return str(getattr(cache, "__module__", "")).startswith(_ROOMS)


def _type_name(one: object) -> str:
    kind = type(one)
    return f"{kind.__module__}.{kind.__qualname__}"
