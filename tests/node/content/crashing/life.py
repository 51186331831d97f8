"""What every operation that is broken off has: steps, acknowledgements, and a vault to look at."""

import contextlib
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from node.content.vault.store import Store
from protocol.errors import LocalError
from tests.node.content.content_nodes import ContentNode, content_node
from tests.node.content.crashing.shim import Shim

_Result = TypeVar("_Result")

KNOWN_NAMES = {"index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "packs", "reserve"}

_FULL = ("the disk is full", "is full: the last", "is too full")
_FAILED = ("the disk fails", "it cannot be opened")
"""What SQLite tells of a refusal that is over when the disk is asked again."""


class Steps:
    """Runs an operation's steps; where the disk refuses one, it is tried again with room."""

    def __init__(self, shim: Shim | None = None, *, is_refusing: bool = False) -> None:
        self._shim = shim
        self._is_refusing = is_refusing
        self.refused: list[str] = []
        """What a person was told."""

    async def do(self, step: Callable[[], Awaitable[_Result]]) -> _Result:
        """What a step returns. A full disk is one clear sentence, after which all goes on."""
        try:
            return await step()
        except LocalError as error:
            if not self._is_refusing or self._shim is None:
                raise
            self._is_refusing = False
            self._shim.lift()
            told = str(error)
            words = _FULL if self._shim.is_full else (*_FULL, *_FAILED)
            assert any(word in told for word in words), told
            assert "\n" not in told, told
            self.refused.append(told)
            return await step()

    @contextlib.asynccontextmanager
    async def node(self, folder: Path) -> AsyncIterator[ContentNode]:
        """A node that lives in `folder`; its start is a step."""
        async with contextlib.AsyncExitStack() as stack:
            yield await self.do(lambda: stack.enter_async_context(content_node(folder)))

    def acknowledge(self, what: str, *details: str) -> None:
        """A person or a peer was told that this is so."""
        if self._shim is not None:
            self._shim.acknowledge(" ".join((what, *details)))


class Operation(Protocol):
    """Something that a node does to its disk, in the folder `disk` of a world."""

    name: str

    async def prepare(self, world: Path) -> None:
        """Make what is there before."""

    async def run(self, world: Path, steps: Steps) -> None:
        """Do it, also where an earlier run was broken off."""

    async def check(self, world: Path, acknowledged: list[str]) -> None:
        """Whether all that was acknowledged is there and the rest is whole or absent."""


def told(acknowledged: list[str], what: str) -> list[list[str]]:
    """The details of all acknowledgements of a kind."""
    return [words[1:] for words in map(str.split, acknowledged) if words[0] == what]


def check_vault(folder: Path, *, is_tidy: bool = False) -> None:
    """Index and packs agree, and every row's bytes are what they say.

    With `is_tidy` no more than half of the packs is room that nothing needs.
    """
    if not folder.exists():
        return
    Store(folder).close()  # as each start does
    odd = {path.name for path in folder.iterdir()} - KNOWN_NAMES
    assert not odd, f"left in the vault: {sorted(odd)}"
    with sqlite3.connect(folder / "index.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = database.execute("SELECT address, pack, start, length FROM blobs ORDER BY 2, 3")
        ends, needed = dict[int, int](), 0
        for address, pack, start, length in rows.fetchall():
            assert start >= ends.get(pack, 0), "two blobs lie over one another"
            ends[pack], needed = start + length, needed + length
            with (folder / "packs" / f"{pack:08}.pack").open("rb") as file:
                file.seek(start)
                found = hashlib.sha256(file.read(length)).digest()
            assert found == address, f"row {address.hex()} of pack {pack} at {start} is damaged"
    database.close()
    packs = {path.name: path.stat().st_size for path in (folder / "packs").iterdir()}
    assert packs == {f"{pack:08}.pack": end for pack, end in ends.items()}
    assert not is_tidy or needed >= sum(packs.values()) / 2
