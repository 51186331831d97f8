"""From a complete mod in the vault to files in a folder: all of them, or nothing under its name.

Every byte comes out of a chunk that hashed to its address in the manifest and opened under its key
there; the manifest hashed to the mod id. So what is written is what was published.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from node.content.assemble import leftovers, tree
from node.content.assemble.claims import TargetClaims
from node.content.assemble.growing import GrowingFiles
from node.content.assemble.written import WrittenFiles
from node.content.homes import HomeGuard
from node.content.opened_mods import OpenedMod, OpenedMods
from node.content.progress import ReportProgress, ignore_progress
from node.content.vault.stored_target import WrittenTree
from node.content.vault.vault import Vault
from protocol.content.manifests.contents import Contents
from protocol.errors import NotFound


def _ignore_written(_: int) -> None:
    """What was written is not counted."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """What was written, and where."""

    path: Path
    files: int
    bytes: int
    tree: WrittenTree = field(repr=False)
    """How they are on the disk."""


class Assembler:
    """Writes mods out of a vault. Several may be written at once, not two to one place.

    Nor does another node write there meanwhile.
    """

    def __init__(
        self,
        vault: Vault,
        guard: HomeGuard,
        opened: OpenedMods,
        claims: TargetClaims | None = None,
    ) -> None:
        self._vault = vault
        self._opened = opened
        self._guard = guard
        self._claims = claims or TargetClaims()

    @contextlib.asynccontextmanager
    async def claiming(self, target: Path) -> AsyncIterator[Path]:
        """The real path of a target that can be written, and that no other may write meanwhile.

        Raises TargetExists, UnsafePath, DiskError: all that can be known before a byte is there.
        """
        loop = asyncio.get_running_loop()
        target = await loop.run_in_executor(None, tree.checked_target, target, self._guard)
        self._claims.check(target)
        above = await loop.run_in_executor(None, tree.try_place, target)
        async with self._claims.claiming(target):
            await self._sweep(target, above)
            yield target

    async def _sweep(self, target: Path, above: Path) -> None:
        """Remove what killed `get`s have left beside a target, and where its folders begin."""
        loop = asyncio.get_running_loop()
        busy = self._claims.locks
        for folder in {target.parent: None, above: None}:
            await loop.run_in_executor(None, leftovers.sweep, folder, busy)

    async def check_parent(self, folder: Path) -> None:
        """Raise as `claiming` where no folder can be made in this one."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, tree.try_parent, folder, self._guard)

    @contextlib.asynccontextmanager
    async def growing(
        self,
        target: Path,
        contents: Contents,
        written: Callable[[int], None] = _ignore_written,
    ) -> AsyncIterator[GrowingFiles]:
        """The files of a mod, which grow at a target that is claimed; `written` learns how far.

        What did not appear is gone afterwards. Raises TargetExists, UnsafePath, DiskError.
        """
        loop = asyncio.get_running_loop()
        paths = itertools.chain((file.path for file in contents.files), contents.empty_folders)
        await loop.run_in_executor(None, tree.check_paths, target, paths)
        target = await loop.run_in_executor(None, tree.checked_target, target, self._guard)
        files = GrowingFiles(
            tree.GrowingTree(target, contents.files, contents.empty_folders), contents, written
        )
        try:
            await files.begin()
            yield files
        finally:
            await files.end()

    async def complete(
        self,
        growing: GrowingFiles,
        opened: OpenedMod,
        target: Path,
        report: ReportProgress = ignore_progress,
    ) -> Assembled:
        """Let a mod's files appear, with what is missing of them out of the vault.

        Raises TargetExists, UnsafePath, DiskError, NotFound if the vault lacks some of the mod, and
        ChunkMismatch if its publisher made it wrong. Nothing is then under the target's name.
        """
        contents = opened.contents
        assert contents is not None
        await growing.complete(partial(self._read, opened), report)
        return Assembled(target, len(contents.files), contents.total_bytes, growing.written)

    async def _read(self, opened: OpenedMod, numbers: Sequence[int]) -> list[bytes | None]:
        addresses = opened.manifest.addresses
        return await self._vault.get_many([addresses[number] for number in numbers])

    async def may_be_written(self, opened: OpenedMod, target: Path) -> bool:
        """Whether a folder looks as a mod does there, by its names and sizes."""
        loop = asyncio.get_running_loop()
        assert opened.contents is not None
        files = await loop.run_in_executor(None, WrittenFiles, target, opened.contents)
        return await loop.run_in_executor(None, files.may_be_whole)

    async def written(self, opened: OpenedMod, target: Path) -> Assembled | None:
        """What an earlier run has written of a mod, if that is all of it.

        Raises NotFound if the vault lacks some of the mod, DiskError.
        """
        contents = opened.contents
        assert contents is not None
        loop = asyncio.get_running_loop()
        files = await loop.run_in_executor(None, WrittenFiles, target, contents)
        for number in range(len(contents.lengths)):
            (sealed,) = await self._read(opened, [number])
            if sealed is None:
                raise NotFound("the vault lacks a part of this mod; get it again")
            if not await loop.run_in_executor(None, files.has, number, sealed):
                return None
        await loop.run_in_executor(None, files.flush_name)
        tree_there = await loop.run_in_executor(None, files.tree)
        return Assembled(target, len(contents.files), contents.total_bytes, tree_there)

    async def assemble(
        self, mod_id: bytes, target: Path, report: ReportProgress = ignore_progress
    ) -> Assembled:
        """Write a mod out of the vault into `target`, which must not exist or be an empty folder.

        Raises as `claiming` and `complete`, BadManifest, and NotFound without its key.
        """
        async with self.claiming(target) as claimed:
            opened = await self._open(mod_id)
            assert opened.contents is not None
            async with self.growing(claimed, opened.contents) as growing:
                return await self.complete(growing, opened, claimed, report)

    async def _open(self, mod_id: bytes) -> OpenedMod:
        mod, data = await self._vault.mod(mod_id), await self._vault.get(mod_id)
        if mod is None or data is None or mod.content_key is None:
            raise NotFound("the vault does not have this mod, or not its content key")
        return await self._opened.open(mod_id, data, mod.content_key)
