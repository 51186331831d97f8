"""From a complete mod in the vault to files in a folder: all of them, or nothing under its name.

Every byte comes out of a chunk that hashed to its address in the manifest and opened under its key
there; the manifest hashed to the mod id. So what is written is what was published.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.content.assemble import tree
from node.content.assemble.held_place import HeldPlace
from node.content.assemble.tree import GrowingTree
from node.content.homes import HomeGuard
from node.content.opened_mods import OpenedMods
from node.content.progress import Progress, ReportProgress, ignore_progress
from node.content.vault.vault import Vault
from protocol.content import sealing
from protocol.content.manifest import Contents, Manifest
from protocol.errors import NotFound, TargetExists

_BATCH_BYTES = 8 * 2**20
_SYNCERS = 4
"""Threads that wait for the disk at once: it then commits many files in one go."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """What was written, and where."""

    path: Path
    files: int
    bytes: int


class Assembler:
    """Writes mods out of a vault. Several may be written at once, not two to one place.

    Nor does another node write there meanwhile.
    """

    def __init__(self, vault: Vault, guard: HomeGuard, opened: OpenedMods) -> None:
        self._vault = vault
        self._opened = opened
        self._guard = guard
        self._targets: set[Path] = set()

    @contextlib.asynccontextmanager
    async def claiming(self, target: Path) -> AsyncIterator[Path]:
        """The real path of a target that can be written, and that no other may write meanwhile.

        Raises TargetExists, UnsafePath, DiskError: all that can be known before a byte is there.
        """
        loop = asyncio.get_running_loop()
        target = await loop.run_in_executor(None, tree.checked_target, target, self._guard)
        for other in self._targets:
            if target == other:
                raise TargetExists(f"{target} is being written already")
            if target.is_relative_to(other) or other.is_relative_to(target):
                raise TargetExists(f"{other} is being written already, and {target} is not apart")
        self._targets.add(target)
        try:
            await loop.run_in_executor(None, tree.try_place, target)
            async with _holding(target):
                yield target
        finally:
            self._targets.discard(target)

    async def check_parent(self, folder: Path) -> None:
        """Raise as `claiming` where no folder can be made in this one."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, tree.try_parent, folder, self._guard)

    async def check_files(self, target: Path, contents: Contents) -> None:
        """Raise UnsafePath where the longest path of a mod is too long for its place."""
        loop = asyncio.get_running_loop()
        paths = (*(file.path for file in contents.files), *contents.empty_folders)
        longest = max(paths, key=len, default="")
        await loop.run_in_executor(None, tree.check_path, target, longest)

    async def assemble(
        self, mod_id: bytes, target: Path, report: ReportProgress = ignore_progress
    ) -> Assembled:
        """Write a mod's files into `target`, which must not exist or be an empty folder.

        Raises as `claiming` and `assemble_claimed`.
        """
        async with self.claiming(target) as claimed:
            return await self.assemble_claimed(mod_id, claimed, report)

    async def assemble_claimed(
        self, mod_id: bytes, target: Path, report: ReportProgress = ignore_progress
    ) -> Assembled:
        """Write a mod's files into `target`, which is claimed.

        Raises TargetExists, UnsafePath, DiskError, NotFound if the vault lacks some of the mod or
        its key, and BadContent if its publisher made it wrong. Nothing is then under the target's
        name.
        """
        loop = asyncio.get_running_loop()
        mod, data = await self._vault.mod(mod_id), await self._vault.get(mod_id)
        if mod is None or data is None or mod.content_key is None:
            raise NotFound("the vault does not have this mod, or not its content key")
        manifest, contents = await self._opened.open(mod_id, data, mod.content_key)
        if contents is None:
            raise NotFound("the vault does not have this mod's content key")
        target = await loop.run_in_executor(None, tree.checked_target, target, self._guard)
        growing = GrowingTree(target, mod_id, contents.files, contents.empty_folders)
        try:
            await loop.run_in_executor(None, growing.begin, contents.disk_bytes)
            await self._write(growing, manifest, contents, report)
            await self._sync(growing)
            await loop.run_in_executor(None, growing.appear)
        finally:
            await loop.run_in_executor(None, growing.clean_up)
        return Assembled(target, len(contents.files), contents.total_bytes)

    async def _write(
        self, growing: GrowingTree, manifest: Manifest, contents: Contents, report: ReportProgress
    ) -> None:
        """Write the byte stream; one batch is read while the one before is opened and written."""
        loop = asyncio.get_running_loop()
        done = 0
        writing: asyncio.Future[int] = loop.create_future()
        writing.set_result(0)
        try:
            for numbers in _batches(contents):
                sealed = await self._read(manifest, numbers)
                done += await writing
                report(_progress(contents, done))
                writing = loop.run_in_executor(
                    None, _open_and_write, growing, contents, numbers, sealed
                )
            done += await writing
        finally:
            await asyncio.gather(writing, return_exceptions=True)
        await loop.run_in_executor(None, growing.finish)
        report(_progress(contents, done))

    async def _sync(self, growing: GrowingTree) -> None:
        """Flush every file to disk; all threads have ended when this returns or raises."""
        loop = asyncio.get_running_loop()
        shares = range(_SYNCERS)
        jobs = [loop.run_in_executor(None, growing.sync, share, _SYNCERS) for share in shares]
        for result in await asyncio.gather(*jobs, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _read(self, manifest: Manifest, numbers: Sequence[int]) -> list[bytes]:
        found = await self._vault.get_many([manifest.addresses[number] for number in numbers])
        sealed = [data for data in found if data is not None]
        if len(sealed) < len(numbers):
            raise NotFound("the vault lacks a part of this mod; get it again")
        return sealed


@contextlib.asynccontextmanager
async def _holding(target: Path) -> AsyncIterator[None]:
    """Hold a target against other nodes; raises TargetExists, DiskError."""
    loop = asyncio.get_running_loop()
    taking = loop.run_in_executor(None, HeldPlace.take, target)
    try:
        held = await asyncio.shield(taking)
    except asyncio.CancelledError:
        taking.add_done_callback(_give_back)
        raise
    try:
        yield
    finally:
        await loop.run_in_executor(None, held.release)


def _give_back(taken: "asyncio.Future[HeldPlace]") -> None:
    """No `get` waits for this place any more."""
    if not taken.cancelled() and taken.exception() is None:
        taken.result().release()


def _batches(contents: Contents) -> Iterator[list[int]]:
    """The chunk numbers of the byte stream, some megabytes of plaintext at a time."""
    batch: list[int] = []
    batch_bytes = 0
    for number in contents.order:
        batch.append(number)
        batch_bytes += contents.lengths[number]
        if batch_bytes >= _BATCH_BYTES:
            yield batch
            batch, batch_bytes = [], 0
    if batch:
        yield batch


def _open_and_write(
    growing: GrowingTree, contents: Contents, numbers: Sequence[int], sealed: Sequence[bytes]
) -> int:
    """The next bytes of the stream; returns how many."""
    done, plaintext, latest = 0, b"", -1
    for number, data in zip(numbers, sealed, strict=True):
        if number != latest:  # a chunk that is repeated is opened once
            latest, length = number, contents.lengths[number]
            plaintext = sealing.open_chunk(contents.keys[number], data, length)
        growing.write(plaintext)
        done += len(plaintext)
    return done


def _progress(contents: Contents, done: int) -> Progress:
    return Progress("files", bytes_total=contents.total_bytes, bytes_done=done)
