"""Files of a mod that are there already: those of a node that was broken off as they had appeared.

Blocking; `assembler` calls it in an executor.
"""

import stat
from pathlib import Path

from node.content.assemble.layout import ChunkPlaces, FileStarts
from node.content.assemble.times import YOUNG_NS, written_file
from node.content.vault.stored_target import WrittenFile, WrittenTree
from node.disk.refusals import flush_folder
from node.files import writing
from protocol.content import sealing
from protocol.content.manifests.contents import Contents, ModFile
from protocol.errors import ChunkMismatch


class WrittenFiles:
    """What is below `target`, beside what a mod has there. What cannot be read is not the mod's."""

    def __init__(self, target: Path, contents: Contents) -> None:
        self._target = target
        self._contents = contents
        self._places = ChunkPlaces(contents)
        self._starts = FileStarts(contents.files)

    def flush_name(self) -> None:
        """Make sure that a cut of the power leaves the name; raises DiskError.

        All that is below was flushed before it had that name.
        """
        with writing(self._target):
            flush_folder(self._target.parent)

    def may_be_whole(self) -> bool:
        """Whether all files and empty folders are there, and as large as they are in the mod."""
        contents = self._contents
        try:
            return all(
                stat.S_ISREG((status := (self._target / file.path).lstat()).st_mode)
                and status.st_size == file.size
                for file in contents.files
            ) and all((self._target / path).is_dir() for path in contents.empty_folders)
        except OSError:
            return False

    def tree(self) -> WrittenTree:
        """How they are on the disk; raises DiskError."""
        with writing(self._target):
            files = tuple(self._written(file) for file in self._contents.files)
        return WrittenTree(files, self._contents.empty_folders)

    def _written(self, file: ModFile) -> WrittenFile:
        """Only the time that the mod says is known to be older than any change."""
        latest_ns = (file.modified_ns or 0) + 2 * YOUNG_NS
        return written_file(file, (self._target / file.path).lstat(), latest_ns)

    def has(self, number: int, sealed: bytes) -> bool:
        """Whether a chunk is there wherever it belongs; only after `may_be_whole`."""
        contents = self._contents
        try:
            plaintext = sealing.open_chunk(contents.keys[number], sealed, contents.lengths[number])
            return all(self._has(place, plaintext) for place in self._places.of(number))
        except (OSError, ChunkMismatch):
            return False

    def _has(self, place: int, plaintext: bytes) -> bool:
        done = 0
        for number, at, size in self._starts.parts(place, len(plaintext)):
            with (self._target / self._contents.files[number].path).open("rb") as file:
                file.seek(at)
                if file.read(size) != plaintext[done : done + size]:
                    return False
            done += size
        return True
