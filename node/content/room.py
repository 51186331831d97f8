"""Room on disks for downloads under way: none begins that would not fit beside the others.

What a download will take is claimed as soon as its manifest is here, before the first chunk comes:
for sealed chunks on the vault's disk, for the files on the target's, which may be the same one.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from node.disk.refusals import room_of
from node.disk.reserve import kept_of
from node.machine.refusals import refused
from protocol.errors import DiskError
from protocol.texts.amounts import size_text

FreeRoom = Callable[[int, int], Awaitable[bool]]


async def _free_nothing(_disk: int, _size: int) -> bool:
    """All that is on the disk stays there."""
    return False


class Disk(NamedTuple):
    """The disk that holds a folder. Sizes are bytes, None where the disk does not tell."""

    number: int
    total: int | None
    free: int | None

    @property
    def kept_free(self) -> int:
        """What a download leaves free of it, for all else that is there."""
        return kept_of(self.total)


def disk_of(place: Path) -> Disk:
    """The disk on which `place` is, or will be; raises OSError. Blocking."""
    folder = next(one for one in (place, *place.parents) if os.path.lexists(one))
    return Disk(folder.stat().st_dev, *room_of(folder))


class RoomClaim:
    """Bytes of one disk that a download will take; `release` gives back what is left of them."""

    def __init__(self, number: int, size: int, forget: Callable[["RoomClaim"], None]) -> None:
        self.number = number
        self.left = size
        self._forget = forget

    def shrink_to(self, left: int) -> None:
        """So many are still to be written."""
        self.left = min(self.left, left)

    def release(self) -> None:
        """The download has ended; may be called again."""
        self._forget(self)


class RoomBook:
    """The claims of all downloads of a node.

    `look` tells a place's disk; `free` frees bytes of a disk by its number, and tells whether it
    did anything.
    """

    def __init__(
        self, look: Callable[[Path], Disk] = disk_of, free: FreeRoom = _free_nothing
    ) -> None:
        self._look = look
        self._free = free
        self._claims: dict[RoomClaim, None] = {}

    async def claim_freeing(self, place: Path, size: int) -> RoomClaim:
        """`claim` this, where room is lacking after others have made some; raises DiskError."""
        while True:
            disk, others = self._disk(place)
            lack = _lack_of(disk, others, size)
            if lack <= 0 or not await self._free(disk.number, lack):
                return self.claim(place, size)

    def _disk(self, place: Path) -> tuple[Disk, int]:
        """The disk of a place, and what is claimed of it."""
        try:
            disk = self._look(place)
        except OSError as error:
            what = f"the disk that holds {place} does not answer"
            raise refused(error, what) from error
        return disk, sum(one.left for one in self._claims if one.number == disk.number)

    def claim(self, place: Path, size: int) -> RoomClaim:
        """Claim `size` bytes of the disk that holds `place`; raises DiskError where it has fewer.

        Blocking for as long as the system takes to tell of a disk.
        """
        disk, others = self._disk(place)
        if _lack_of(disk, others, size) > 0:
            raise DiskError(_too_full(place, size, disk, others))
        claim = RoomClaim(disk.number, size, lambda one: self._claims.pop(one, None))
        self._claims[claim] = None
        return claim


def _lack_of(disk: Disk, others: int, size: int) -> int:
    """The bytes by which a disk has too little room for `size` beside what others claim."""
    return 0 if disk.free is None else size - (disk.free - others - disk.kept_free)


def _too_full(place: Path, size: int, disk: Disk, others: int) -> str:
    told = f"{size_text(size)} are needed there, {size_text(disk.free or 0)} are free"
    if others:
        told += f", of which downloads under way take {size_text(others)}"
    return (
        f"the disk that holds {place} is too full: {told}, and {size_text(disk.kept_free)} stay"
        " free"
    )
