"""The room of what no mod needs is given back.

A pack that is mostly unneeded shrinks in its place, which takes no room. Of the others the one with
the largest part unneeded is copied to the last pack, while more than DEAD_PART of all bytes are
unneeded: so packs take little more than what is needed, and what is copied is bounded by what is
given back.
"""

import logging
import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from node.content.vault.index import Unneeded
from node.content.vault.packs import PackPlace, is_intact
from node.content.vault.upkeep.parts import StoreParts
from node.disk.refusals import free_bytes
from node.disk.reserve import is_full, kept_free
from node.files import writing
from node.machine.refusals import reason_of
from protocol import limits

_log = logging.getLogger(__name__)

_WORTH_KEEPING = 0.5
"""A pack of which less than this is needed is made smaller."""
_WORTH_KEEPING_FULL = 0.9
"""The same where the disk lacks room."""
_MOVED_BYTES = 8 * 2**20
"""What is moved at once."""


class Compaction:
    """Frees the room of one vault. `forget` is told of blobs that turn out damaged."""

    def __init__(self, parts: StoreParts, forget: Callable[[Sequence[bytes]], None]) -> None:
        self._folder, self._index = parts.folder, parts.index
        self._packs, self._reserve = parts.packs, parts.reserve
        self._forget = forget
        self._unreadable: set[int] = set()
        """Packs that the disk did not give out since the last `collect`."""

    def collect(self, gone: Sequence[bytes] | None = None) -> int:
        """Forget what no mod needs; return how many addresses that were. Then call `compact`.

        `gone`: look only at what was needed by these mods, which were here until a moment ago; that
        costs by their chunks, and all of it by those of the whole vault.
        """
        forgotten = 0
        self._unreadable.clear()
        with writing(self._folder):
            index = self._index
            for unneeded in index.unneeded() if gone is None else index.unneeded_of(gone):
                self._delete_somehow(unneeded)
                forgotten += unneeded.addresses
        return forgotten

    def _delete_somehow(self, unneeded: Unneeded) -> None:
        """At once, or by and by on a full disk."""
        try:
            self._delete(unneeded)
        except sqlite3.Error as error:
            if not is_full(error):
                raise
            for part in unneeded.in_parts():
                self._reserve.spending(partial(self._delete, part))

    def _delete(self, unneeded: Unneeded) -> None:
        with self._index.transaction():
            self._index.delete(unneeded)

    def compact(self, *, thoroughly: bool = False) -> bool:
        """Give back room of one pack, or make ready to; whether there was something to do.

        `thoroughly`: also of one of which a tenth is unneeded, as a disk lacks room. A pack that
        cannot be read stays as it is, and stops none of the others.
        """
        worth_keeping = _WORTH_KEEPING_FULL if thoroughly else _WORTH_KEEPING
        with writing(self._folder):
            needed = {pack: known for pack, (_, known) in self._index.packs().items()}
            sizes = {
                pack: self._packs.size(pack)
                for pack in self._packs.numbers()
                if pack not in self._unreadable
            }
            try:
                for pack, size in sizes.items():
                    if needed.get(pack, 0) >= size * worth_keeping:
                        continue
                    self._shrink(pack)
                    if self._packs.size(pack) < size:
                        self._reserve.refill()
                        return True
                return self._copy_worst(needed, sizes)
            except _Unreadable as error:
                _log.warning("pack %d keeps what no mod needs: %s", error.pack, error)
                self._unreadable.add(error.pack)
                return True

    def pack_bytes(self) -> int:
        """What all packs take."""
        return sum(map(self._packs.size, self._packs.numbers()))

    def _read(self, place: PackPlace) -> bytes:
        try:
            return self._packs.read(place)
        except OSError as error:
            raise _Unreadable(place.pack, error) from error

    def _copy_worst(self, needed: Mapping[int, int], sizes: Mapping[int, int]) -> bool:
        """Copy some of the pack that is unneeded the most; False if too little is, or no room."""
        dead = {pack: size - needed.get(pack, 0) for pack, size in sizes.items()}
        if sum(dead.values()) * limits.DEAD_PART <= sum(sizes.values()):
            return False
        worst = max(dead, key=lambda pack: (dead[pack] / max(1, sizes[pack]), -pack))
        free = free_bytes(self._folder)
        if free is not None and free < needed.get(worst, 0) + kept_free(self._folder):
            return False
        return self._copy_some(worst)

    def _copy_some(self, pack: int) -> bool:
        """Copy the next megabytes of a pack to the last one, and remove it once all is there."""
        if pack == self._packs.current:
            self._packs.roll()
        move, left = _Move(), self._index.in_pack(pack)
        for address, place in left:
            data = self._read(place)
            if not is_intact(address, place, data):
                self._forget([address])
                continue
            move.add(address, place, data)
            if move.length >= _MOVED_BYTES:
                break
        if move.blobs:
            places = self._packs.append(tuple(move.blobs.values()))
            try:
                self._record(move, places)
            except sqlite3.Error:
                self._packs.take_back(places)
                raise
        if not self._index.in_pack(pack):
            self._packs.remove(pack)
            self._reserve.refill()
        return True

    def _shrink(self, pack: int) -> None:
        """Move what is needed of a pack to its beginning, and cut off the rest.

        Nothing is written over bytes that the index still names. A blob that has too little
        unneeded before it for that stays where it is, so less than half of the pack is then
        unneeded.
        """
        move = _Move()
        for address, place in self._index.in_pack(pack):
            data = self._read(place)
            if not is_intact(address, place, data):
                self._forget([address])
                continue
            if not move.has_room(place) or move.length >= _MOVED_BYTES:
                self._carry_out(pack, move)
                move = _Move(move.end)
            if move.has_room(place):
                move.add(address, place, data)
            else:
                move = _Move(place.offset + place.length)
        self._carry_out(pack, move)
        if move.end:
            self._packs.cut(pack, move.end)
        else:
            self._packs.remove(pack)

    def _carry_out(self, pack: int, move: "_Move") -> None:
        if move.blobs:
            self._reserve.spending(partial(self._write_and_record, pack, move))

    def _write_and_record(self, pack: int, move: "_Move") -> None:
        self._record(move, self._packs.write(pack, move.start, move.blobs.values()))

    def _record(self, move: "_Move", places: Sequence[PackPlace]) -> None:
        with self._index.transaction():
            self._index.record(zip(move.blobs, places, strict=True))


class _Unreadable(Exception):
    """The disk does not give out a pack now."""

    def __init__(self, pack: int, why: OSError) -> None:
        super().__init__(reason_of(why))
        self.pack = pack


class _Move:
    """Blobs of a pack that are to lie from `start` on, one after another."""

    def __init__(self, start: int = 0) -> None:
        self.start = self.end = start
        self.blobs: dict[bytes, bytes] = {}
        self._first = math.inf
        """Where the first of them lies now."""

    @property
    def length(self) -> int:
        """The bytes of all of them."""
        return self.end - self.start

    def has_room(self, place: PackPlace) -> bool:
        """Whether the blob at `place` would come to lie over none that are to be moved."""
        return self.end + place.length <= min(self._first, place.offset)

    def add(self, address: bytes, place: PackPlace, data: bytes) -> None:
        """Move this one as well; they come in the order of the pack."""
        self._first = min(self._first, place.offset)
        self.blobs[address] = data
        self.end += len(data)
