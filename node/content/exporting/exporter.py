"""A mod as two files that any HTTP server can host: its manifest, and all sealed chunks in a row.

They are written in a hidden folder beside, flushed, and renamed, the manifest last: so a name that
is there has all of its bytes, whatever ends this. What a killed export left goes with the next one,
or with the next `get` into that folder. Files of these names that are something else are left.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from node.content.assemble.leftovers import sweep
from node.content.hidden_names import growing_of, lock_of
from node.content.homes import HomeGuard
from node.content.progress import Progress, ReportProgress, ignore_progress
from node.content.vault.vault import Vault
from node.disk.lock import FolderLock, LockHeld
from node.disk.refusals import flush_file, flush_folder, make_folders
from node.disk.removing import remove_tree
from node.files import write_all, writing
from node.tasks import in_thread
from protocol.content import sealing
from protocol.content.manifests.manifest import Manifest, decode_manifest
from protocol.content.origins.layout import ChunkLayout, ChunkRange
from protocol.content.origins.urls import file_names
from protocol.errors import NotFound, TargetExists
from protocol.identity import base32_text

_BATCH_BYTES: Final = 4 * 2**20
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_FILE_MODE: Final = 0o644
_TAKEN: Final = "Move it away, or export to another folder."


@dataclass(frozen=True, slots=True)
class Exported:
    """The two files, and the bytes in them."""

    manifest: Path
    chunks: Path
    size: int


class Exporter:
    """Writes mods of a vault for servers; `guard` knows the homes in which nothing is written."""

    def __init__(self, vault: Vault, guard: HomeGuard) -> None:
        self._vault = vault
        self._guard = guard

    async def export(
        self, mod_id: bytes, folder: Path, report: ReportProgress = ignore_progress
    ) -> Exported:
        """Write both files into `folder`, or find that they are there.

        Raises NotFound where the vault lacks some of the mod, TargetExists where other files have
        these names, UnsafePath, DiskError.
        """
        with self._vault.using(mod_id):
            manifest = await self._manifest(mod_id)
            layout = ChunkLayout(manifest.sealed_lengths)
            place = ExportPlace(folder, mod_id, self._guard)
            try:
                await in_thread(place.take)
                if not await in_thread(partial(place.has_chunks, manifest, layout)):
                    await self._write_chunks(place, manifest, layout, report)
                await in_thread(partial(place.finish, manifest.data))
            finally:
                await in_thread(place.leave)
        size = layout.total + len(manifest.data)
        return Exported(place.manifest, place.chunks, size)

    async def _manifest(self, mod_id: bytes) -> Manifest:
        data = await self._vault.get(mod_id)
        missing = await self._vault.missing(mod_id)
        if data is None or missing:
            raise NotFound(
                f"this node has not all of the mod {base32_text(mod_id)[:12]}; `modswarm get` it"
                " first"
            )
        return decode_manifest(data)

    async def _write_chunks(
        self,
        place: "ExportPlace",
        manifest: Manifest,
        layout: ChunkLayout,
        report: ReportProgress,
    ) -> None:
        await in_thread(place.begin_chunks)
        for batch in _batches(layout):
            numbers = range(batch.first, batch.end)
            found = await self._vault.get_chunks(manifest.mod_id, numbers)
            if found is None or None in found:
                raise NotFound("the disk has damaged some of this mod: `modswarm scrub` repairs it")
            data = b"".join(one for one in found if one is not None)
            await in_thread(partial(place.add, data))
            report(_progress(layout, batch))
        await in_thread(place.end_chunks)


class ExportPlace:
    """Where one mod is exported to. Blocking; its methods raise DiskError besides what they say."""

    def __init__(self, folder: Path, mod_id: bytes, guard: HomeGuard) -> None:
        manifest, chunks = file_names(mod_id)
        self.manifest, self.chunks = folder / manifest, folder / chunks
        self._folder = folder
        self._guard = guard
        target = folder / base32_text(mod_id)
        self._lock_path, self._growing = lock_of(target), growing_of(target)
        self._lock: FolderLock | None = None
        self._file: int | None = None
        """Of the chunks that are being written."""

    def take(self) -> None:
        """Claim it, and remove what killed exports left; raises TargetExists, UnsafePath."""
        self._guard.check_outside(Path(os.path.realpath(self._folder)), "exported")
        with writing(self._folder):
            make_folders(self._folder)
            sweep(self._folder, ())
            try:
                self._lock = FolderLock.take(self._lock_path)
            except LockHeld:
                raise TargetExists(
                    f"another export writes this mod to {self._folder}", advice="Wait for its end."
                ) from None
            remove_tree(self._growing)
            self._growing.mkdir()

    def leave(self) -> None:
        """Leave nothing but files with their names; never fails."""
        if self._lock is None:
            return
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
        with contextlib.suppress(OSError):
            remove_tree(self._growing)
            self._lock_path.unlink(missing_ok=True)
        self._lock.close()

    def has_chunks(self, manifest: Manifest, layout: ChunkLayout) -> bool:
        """Whether the file of chunks is there, and right; raises TargetExists if it is another."""
        if not os.path.lexists(self.chunks):
            return False
        with writing(self.chunks, "read"):
            if not _is_right(self.chunks, manifest, layout):
                raise TargetExists(f"{self.chunks} is there and is another file", advice=_TAKEN)
        return True

    def begin_chunks(self) -> None:
        """Make the file of chunks, which `leave` closes."""
        self._file = self._begin(self.chunks)

    def _begin(self, target: Path) -> int:
        with writing(target):
            return os.open(self._growing / target.name, _FLAGS, _FILE_MODE)

    def add(self, data: bytes) -> None:
        """Write some more chunks."""
        assert self._file is not None
        with writing(self.chunks):
            write_all(self._file, data)

    def end_chunks(self) -> None:
        """All chunks are written: they get their name; raises TargetExists."""
        assert self._file is not None
        self._end(self._file, self.chunks)

    def _end(self, file: int, target: Path) -> None:
        with writing(target):
            flush_file(file)
            if os.path.lexists(target):
                raise TargetExists(f"{target} has come to be there meanwhile", advice=_TAKEN)
            (self._growing / target.name).rename(target)
            flush_folder(self._folder)

    def finish(self, manifest: bytes) -> None:
        """Write the manifest, unless it is there; raises TargetExists if another file is."""
        if os.path.lexists(self.manifest):
            with writing(self.manifest, "read"):
                if not _has_bytes(self.manifest, manifest):
                    raise TargetExists(f"{self.manifest} is another file", advice=_TAKEN)
                flush_folder(self._folder)
            return
        file = self._begin(self.manifest)
        try:
            with writing(self.manifest):
                write_all(file, manifest)
            self._end(file, self.manifest)
        finally:
            os.close(file)


def _batches(layout: ChunkLayout) -> Iterator[ChunkRange]:
    """Ranges of all chunks, in their order."""
    at = 0
    while at < layout.chunks:
        batch = layout.run_around(at, range(at, layout.chunks), _BATCH_BYTES)
        yield batch
        at = batch.end


def _progress(layout: ChunkLayout, batch: ChunkRange) -> Progress:
    return Progress(
        "files",
        chunks_total=layout.chunks,
        chunks_done=batch.end,
        bytes_total=layout.total,
        bytes_done=batch.start + batch.size,
    )


def _is_file_of(path: Path, size: int) -> bool:
    """Whether it is a file of so many bytes and no link: to read a pipe or a device may not end."""
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def _has_bytes(path: Path, data: bytes) -> bool:
    return _is_file_of(path, len(data)) and path.read_bytes() == data


def _is_right(path: Path, manifest: Manifest, layout: ChunkLayout) -> bool:
    """Whether a file has all chunks of a mod, each with the bytes of its address."""
    if not _is_file_of(path, layout.total):
        return False
    addresses: Sequence[bytes] = manifest.addresses
    with path.open("rb") as file:
        return all(
            sealing.address_of(file.read(layout.size(chunk))) == address
            for chunk, address in enumerate(addresses)
        )
