"""Room on disks for downloads under way: none begins that would not fit beside the others.

What a download will take is claimed as soon as its manifest is here, before the first chunk comes:
for sealed chunks on the vault's disk, for the files on the target's, which may be the same one.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from node.disk.refusals import room_of
from node.disk.reserve import kept_of
from node.machine.refusals import refused
from protocol.errors import DiskError
from protocol.texts.amounts import size_text


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
    """The claims of all downloads of a node. `look` tells a place's disk."""

    def __init__(self, look: Callable[[Path], Disk] = disk_of) -> None:
        self._look = look
        self._claims: dict[RoomClaim, None] = {}

    def claim(self, place: Path, size: int) -> RoomClaim:
        """Claim `size` bytes of the disk that holds `place`; raises DiskError where it has fewer.

        Blocking for as long as the system takes to tell of a disk.
        """
        try:
            disk = self._look(place)
        except OSError as error:
            what = f"the disk that holds {place} does not answer"
            raise refused(error, what) from error
        others = sum(one.left for one in self._claims if one.number == disk.number)
        if disk.free is not None and size > disk.free - others - disk.kept_free:
            raise DiskError(_too_full(place, size, disk, others))
        claim = RoomClaim(disk.number, size, lambda one: self._claims.pop(one, None))
        self._claims[claim] = None
        return claim


def _too_full(place: Path, size: int, disk: Disk, others: int) -> str:
    told = f"{size_text(size)} are needed there, {size_text(disk.free or 0)} are free"
    if others:
        told += f", of which downloads under way take {size_text(others)}"
    return (
        f"the disk that holds {place} is too full: {told}, and {size_text(disk.kept_free)} stay"
        " free"
    )
