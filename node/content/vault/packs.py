"""The vault's bytes: numbered pack files, at whose end is appended.

Chunks of a mod come and go together and are read together, so they lie one after another in packs
of PACK_BYTES instead of in a file each: one write and one fsync carry as many chunks as there are.
A pack is bytes and nothing else; the index has the place of each blob. Bytes beyond the last known
blob are the rest of a write that was cut short; the next start cuts them off. A pack that is mostly
unneeded shrinks in its place: what is needed moves to its beginning, over what is not, so that a
full disk is room enough.
"""

import contextlib
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from google_crc32c import value as crc_of

from node.disk.refusals import flush_file, flush_folder
from node.files import write_all
from protocol.content import sealing

PACK_BYTES = 64 * 2**20
"""A pack that has reached this takes no more."""

_RUN_BYTES = 2**20
"""So much is written with one call: the system takes it at half the cost of a call for each chunk,
and to copy it together costs a fifth of that."""

_OPEN_FILES = 32
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
_NAME = re.compile(r"(\d{8})\.pack")


class PackPlace(NamedTuple):
    """The place of some bytes. `crc` is their CRC-32C; None where that was never computed."""

    pack: int
    offset: int
    length: int
    crc: int | None = None


class Packs:
    """The pack files of one folder. Not for several threads at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: OrderedDict[int, BinaryIO] = OrderedDict()
        self._current = 1
        self._end = 0
        self._is_named = False
        """Whether a cut of the power leaves the name of the pack to which is appended."""

    def start(self, known_ends: dict[int, int]) -> None:
        """Settle where to append; remove packs and ends of packs that the index does not know.

        `known_ends` has, for each pack with known bytes, the end of the last of them.
        """
        for number in self.numbers():
            if number not in known_ends:
                self.path(number).unlink()
            elif self.size(number) > known_ends[number]:
                self.cut(number, known_ends[number])
        self._current = max(known_ends, default=0) or 1
        self._end = known_ends.get(self._current, 0)
        self._is_named = self._current in known_ends

    @property
    def current(self) -> int:
        """The pack to which is appended."""
        return self._current

    def path(self, number: int) -> Path:
        """The file of a pack."""
        return self._folder / f"{number:08}.pack"

    def numbers(self) -> list[int]:
        """The packs that exist, oldest first."""
        names = (_NAME.fullmatch(entry.name) for entry in self._folder.iterdir())
        return sorted(int(name[1]) for name in names if name)

    def size(self, number: int) -> int:
        """The bytes of a pack's file; 0 if there is none."""
        try:
            return self.path(number).stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, blobs: Sequence[bytes]) -> list[PackPlace]:
        """Write the blobs and fsync; raises OSError and then nothing has changed."""
        if self._end >= PACK_BYTES:
            self.roll()
        try:
            places = self.write(self._current, self._end, blobs)
            if not self._is_named:
                flush_folder(self._folder)
                self._is_named = True
        except OSError:
            self.cut(self._current, self._end)  # a full disk gets its room back
            raise
        self._end += sum(map(len, blobs))
        return places

    def write(self, number: int, offset: int, blobs: Iterable[bytes]) -> list[PackPlace]:
        """Write the blobs from `offset` on, whatever is there, and fsync; raises OSError."""
        places = []
        descriptor = os.open(self.path(number), _WRITE_FLAGS, 0o600)
        try:
            os.lseek(descriptor, offset, os.SEEK_SET)
            for run in _runs(blobs):
                write_all(descriptor, b"".join(run))
                for blob in run:
                    places.append(PackPlace(number, offset, len(blob), crc_of(blob)))
                    offset += len(blob)
            flush_file(descriptor)
        finally:
            os.close(descriptor)
        return places

    def cut(self, number: int, end: int) -> None:
        """Give back the room beyond `end`, as far as the file system does that."""
        with contextlib.suppress(OSError):
            os.truncate(self.path(number), end)
        if number == self._current:
            self._end = end

    def roll(self) -> None:
        """Append to a new pack from now on."""
        self._current += 1
        self._end = 0
        self._is_named = False

    def take_back(self, places: Sequence[PackPlace]) -> None:
        """Forget what `append` just wrote: the index could not record it."""
        if places and places[0].pack == self._current:
            self._end = min(self._end, places[0].offset)

    def read(self, place: PackPlace) -> bytes:
        """The bytes at a place, fewer if the file is too short; raises OSError."""
        file = self._file(place.pack)
        file.seek(place.offset)
        data = file.read(place.length)
        while len(data) < place.length and (more := file.read(place.length - len(data))):
            data += more  # a file system over the network may read in parts
        return data

    def remove(self, number: int) -> None:
        """Delete a pack in which nothing is needed any more."""
        self._close(number)
        self.path(number).unlink(missing_ok=True)
        if number == self._current:
            self.roll()

    def close(self) -> None:
        """Close every file."""
        for number in tuple(self._open):
            self._close(number)

    def _file(self, number: int) -> BinaryIO:
        file = self._open.get(number)
        if file is None:
            file = self.path(number).open("rb", buffering=0)
            self._open[number] = file
            while len(self._open) > _OPEN_FILES:
                self._close(next(iter(self._open)))
        self._open.move_to_end(number)
        return file

    def _close(self, number: int) -> None:
        file = self._open.pop(number, None)
        if file is not None:
            file.close()


def _runs(blobs: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The blobs, as many together as are written with one call."""
    run: list[bytes] = []
    size = 0
    for blob in blobs:
        run.append(blob)
        size += len(blob)
        if size >= _RUN_BYTES:
            yield run
            run, size = [], 0
    if run:
        yield run


def is_intact(address: bytes, place: PackPlace, data: bytes) -> bool:
    """Whether the disk gave back what was written: its hash was checked when it was stored.

    Of what vaults before the sixth format stored no CRC-32C is known until the next scrub, so that
    is hashed again.
    """
    if place.crc is None:
        return sealing.address_of(data) == address
    return len(data) == place.length and crc_of(data) == place.crc
