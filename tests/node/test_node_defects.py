"""A defect in any task of a whole node is found in `Node.defects`."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.config import Config
from node.environment import Environment
from node.runtime import Node
from node.tasks import TaskOwner
from tests.identities import give_identities


def owners_in(part: object, seen: set[int]) -> Iterator[TaskOwner]:
    """Every task owner that can be reached from a part through attributes and collections."""
    if id(part) in seen:
        return
    seen.add(id(part))
    inner: list[Any] = []
    if isinstance(part, TaskOwner):
        yield part
    elif isinstance(part, dict):
        inner = [*part.keys(), *part.values()]
    elif isinstance(part, list | tuple | set | frozenset):
        inner = list(part)
    elif type(part).__module__.startswith("node."):
        names = {
            name for kind in type(part).__mro__ for name in getattr(kind, "__slots__", ())
        } | getattr(part, "__dict__", {}).keys()
        inner = [getattr(part, name) for name in names if hasattr(part, name)]
    elif hasattr(part, "__self__"):
        inner = [part.__self__]
    for one in inner:
        yield from owners_in(one, seen)


async def fail(owner_number: int) -> None:
    raise ZeroDivisionError(owner_number)


@pytest.mark.real_loop
async def test_every_owner_of_tasks_shows_its_defects(tmp_path: Path) -> None:
    give_identities([tmp_path])
    config = Config(listen=("127.0.0.1:0",))
    node = Node.open(tmp_path, config, Environment(), lambda _: None)
    await node.start()
    owners = list(owners_in(node, set()))
    failing = [owner.start(fail(number), name="a defect") for number, owner in enumerate(owners)]
    await asyncio.gather(*failing, return_exceptions=True)
    await node.stop()
    assert len(owners) >= 5
    assert {str(defect) for defect in node.defects} == set(map(str, range(len(owners))))
    assert len(node.defects) == len(owners)
