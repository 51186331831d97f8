"""How a table of what each used forgets: those that used least go, many at once."""

from collections.abc import Hashable
from heapq import nlargest
from operator import itemgetter
from typing import TypeVar

_User = TypeVar("_User", bound=Hashable)
_Used = TypeVar("_Used", int, float)

_used = itemgetter(1)


def forget_least(used_by: dict[_User, _Used], most: int) -> None:
    """Where there are more than `most` users keep the half of `most` that used most.

    So newcomers that come in a row share the cost of one look at all.
    """
    if len(used_by) <= most:
        return
    kept = nlargest(most // 2, used_by.items(), key=_used)
    used_by.clear()
    used_by.update(kept)
