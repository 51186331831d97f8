"""The folder beside a target in which an update is prepared.

plan         what is done; the vault knows its SHA-256
room         bytes that are given up where names need room that the disk has no more
new/A/B      the new file of step 1000 * A + B
old/A/B      what the target had instead

Blocking.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from node.content.assemble.layout import FileStarts
from node.content.assemble.times import disk_time_ns, written_file
from node.content.assemble.tree_files import TreeFiles, mode_of
from node.content.hidden_names import update_of
from node.content.vault.stored_target import WrittenFile
from node.disk.flushing import MANY, DiskFlush
from node.disk.refusals import flush_folder
from node.disk.removing import remove_tree
from node.files import PRIVATE_FOLDER, write_atomically
from protocol.content.file_paths import quoted
from protocol.content.manifests.contents import Contents, ModFile
from protocol.errors import ChunkMismatch

_EACH: Final = 1000
"""Some file systems are slow with more names in one folder."""
_ROOM_BYTES: Final = 2**16
_ROOM_FOLDER_BYTES: Final = 4096
_ROOM_MOST: Final = 2**23


def new_name(step: int) -> str:
    """Where the new file of a step is, until it has its name."""
    return f"new/{step // _EACH}/{step % _EACH}"


def old_name(step: int) -> str:
    """Where what the target had is, once it lost its name."""
    return f"old/{step // _EACH}/{step % _EACH}"


def staging_folders(steps: int) -> Iterator[str]:
    """The folders that so many steps need, each after the one that it is in."""
    for kind in ("new", "old"):
        yield kind
        yield from (f"{kind}/{number}" for number in range((steps + _EACH - 1) // _EACH))


class Staging:
    """What is prepared for one target."""

    def __init__(self, target: Path) -> None:
        self.root = update_of(target)
        self.plan = self.root / "plan"
        self._disk: DiskFlush | None = None

    def clear(self) -> None:
        """Remove all of it; raises OSError."""
        self.close()
        remove_tree(self.root)

    def begin(self, steps: int, folders: int) -> None:
        """Make it, with room for so many new folders; raises OSError."""
        self.clear()
        self.root.mkdir(PRIVATE_FOLDER)
        self._disk = DiskFlush.of(self.root)
        for path in staging_folders(steps):
            (self.root / path).mkdir()
        room = min(_ROOM_BYTES + _ROOM_FOLDER_BYTES * folders, _ROOM_MOST)
        with (self.root / "room").open("wb") as file:
            for piece in range(0, room, _ROOM_BYTES):
                file.write(hashlib.shake_128(b"%d" % piece).digest(_ROOM_BYTES))

    def give_up_room(self) -> bool:
        """Let the disk have the room that was kept for it; whether there was any."""
        try:
            (self.root / "room").unlink()
        except OSError:
            return False
        return True

    def commit(self, plan: bytes, files: Sequence[int]) -> None:
        """Flush all, then the plan; raises OSError, DiskError. `files`: steps with a new file."""
        if self._disk is not None and len(files) > MANY:
            self._disk.flush()
        else:
            made = TreeFiles(self.root)
            for step in files:
                made.flush(new_name(step))
            self.flush_folders()
        self.close()
        write_atomically(self.plan, plan)
        flush_folder(self.root.parent)

    def flush_disk(self) -> bool:
        """Flush all names of the disk, where that can be done in one go; raises OSError."""
        disk = DiskFlush.of(self.root)
        if disk is None:
            return False
        try:
            disk.flush()
        finally:
            disk.close()
        return True

    def flush_folders(self) -> None:
        """Flush the names of files that wait; raises OSError."""
        for folder in self._folders():
            flush_folder(folder)

    def _folders(self) -> Iterator[Path]:
        for kind in ("new", "old"):
            if (self.root / kind).is_dir():
                yield self.root / kind
                yield from sorted((self.root / kind).iterdir())

    def close(self) -> None:
        """Forget the disk; may be called again."""
        if self._disk is not None:
            self._disk.close()
            self._disk = None


class StagedFiles:
    """The new files of an update, written one after another as their bytes come in order."""

    def __init__(
        self,
        staging: Staging,
        contents: Contents,
        steps: dict[int, int],
    ) -> None:
        """`steps`: for the numbers of the files that are written, in their order, their steps."""
        self._root = staging.root
        self._contents = contents
        self._starts = FileStarts(contents.files)
        self._wanted = contents.files
        self._steps = steps
        self._made = TreeFiles(staging.root)
        self._hashing = hashlib.sha256()
        self.bytes_written = 0

    def chunks(self) -> Iterator[tuple[int, int]]:
        """The chunks that are needed, each with its place in the mod's bytes, in order."""
        spans = self._spans()
        span = next(spans, None)
        start = 0
        for chunk in self._contents.order:
            end = start + self._contents.lengths[chunk]
            while span is not None and span[1] <= start:
                span = next(spans, None)
            if span is None:
                return
            if span[0] < end:
                yield chunk, start
            start = end

    def _spans(self) -> Iterator[tuple[int, int]]:
        start = 0
        for number, file in enumerate(self._contents.files):
            if number in self._steps and file.size:
                yield start, start + file.size
            start += file.size

    def write(self, start: int, data: bytes) -> None:
        """The bytes of the mod from `start` on; raises OSError, ChunkMismatch."""
        view = memoryview(data)
        for number, at, length in self._starts.parts(start, len(data)):
            part, view = view[:length], view[length:]
            step = self._steps.get(number)
            if step is None:
                continue
            file = self._wanted[number]
            is_last = at + length == file.size
            self._made.write(new_name(step), mode_of(file), at, part, last=is_last)
            self.bytes_written += length
            self._hashing.update(part)
            if is_last:
                self._check(file)

    def _check(self, file: ModFile) -> None:
        found, self._hashing = self._hashing.digest(), hashlib.sha256()
        if found != file.sha256:
            raise ChunkMismatch(
                f"{quoted(file.path)} is not what its publisher says: its SHA-256 is another one"
            )

    def finish(self) -> dict[str, WrittenFile]:
        """Make files without a byte, set the times of all; raises OSError, ChunkMismatch.

        Returns how they are on the disk, by their paths in the target.
        """
        for number, step in self._steps.items():
            file = self._wanted[number]
            if not file.size:
                self._made.make(new_name(step), mode_of(file))
                self._check(file)
        self._made.finish()
        now_ns = disk_time_ns(self._root)
        made = {}
        for number, step in self._steps.items():
            file = self._wanted[number]
            status = self._made.date(new_name(step), file.modified_ns)
            made[file.path] = written_file(file, status, now_ns)
        return made

    def close(self) -> None:
        """Close every file."""
        self._made.close()
