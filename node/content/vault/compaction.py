"""What is done to packs: the room of what no mod needs is given back, and bytes are checked."""

import math
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from node.content.vault.index import Index, ScrubState, Unneeded
from node.content.vault.packs import PackPlace, Packs, is_intact
from node.disk.reserve import Reserve, is_full
from node.files import writing
from protocol.content import sealing

_WORTH_KEEPING = 0.5
"""A pack of which less than this is needed is made smaller."""
_WORTH_KEEPING_FULL = 0.9
"""The same where the disk lacks room."""
_MOVED_BYTES = 8 * 2**20
"""What is moved within a pack, or checked, at once."""
_CHECKED = 4096
"""Blobs that are checked at once, at most."""

_Placed = tuple[bytes, PackPlace]


class Compaction:
    """Frees the room of one vault. `forget` is told of blobs that turn out damaged."""

    def __init__(
        self,
        folder: Path,
        index: Index,
        packs: Packs,
        reserve: Reserve,
        forget: Callable[[Sequence[bytes]], None],
    ) -> None:
        self._folder = folder
        self._index = index
        self._packs = packs
        self._reserve = reserve
        self._forget = forget

    def collect(self, gone: Sequence[bytes] | None = None) -> int:
        """Forget what no mod needs; return how many addresses that were. Then call `compact`.

        `gone`: look only at what was needed by these mods, which were here until a moment ago; that
        costs by their chunks, and all of it by those of the whole vault.
        """
        forgotten = 0
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
        """Give back the room of one pack that is mostly unneeded; whether there was one.

        `thoroughly`: also of one of which a tenth is unneeded, as a disk lacks room.
        """
        worth_keeping = _WORTH_KEEPING_FULL if thoroughly else _WORTH_KEEPING
        with writing(self._folder):
            known = self._index.packs()
            for pack in self._packs.numbers():
                _, needed = known.get(pack, (0, 0))
                size = self._packs.size(pack)
                if needed >= size * worth_keeping:
                    continue
                self._shrink(pack)
                if self._packs.size(pack) < size:
                    self._reserve.refill()
                    return True
        return False

    def _shrink(self, pack: int) -> None:
        """Move what is needed of a pack to its beginning, and cut off the rest.

        Nothing is written over bytes that the index still names. A blob that has too little
        unneeded before it for that stays where it is, so less than half of the pack is then
        unneeded.
        """
        move = _Move()
        for address, place in self._index.in_pack(pack):
            data = self._packs.read(place)
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
        places = self._packs.write(pack, move.start, move.blobs.values())
        with self._index.transaction():
            self._index.record(zip(move.blobs, places, strict=True))


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


class Scrubbing:
    """Checks the SHA-256 of all bytes of one vault, some at a time; `lost` learns what was bad."""

    def __init__(
        self,
        folder: Path,
        index: Index,
        packs: Packs,
        reserve: Reserve,
        lost: Callable[[Sequence[bytes]], None],
    ) -> None:
        self._folder = folder
        self._index = index
        self._packs = packs
        self._reserve = reserve
        self._lost = lost

    def step(self) -> ScrubState:
        """Check the next megabytes; returns how far it is. Raises DiskError.

        What is damaged is forgotten, so that it can be fetched again. What the disk does not give
        out now is left as it is.
        """
        with writing(self._folder):
            state = self._index.scrubbed()
            found = self._index.after(state.pack, state.start, _CHECKED)
            enough, good, bad = state.bytes + _MOVED_BYTES, list[_Placed](), list[bytes]()
            for address, place in found:
                is_right = self._is_right(address, place, good)
                if is_right is False:
                    bad.append(address)
                state = ScrubState(
                    *(place.pack, place.offset, state.blobs + 1, state.bytes + place.length),
                    state.bad + (not is_right),
                )
                if state.bytes >= enough:
                    break
            state = state._replace(done=not found)
            self._reserve.spending(partial(self._record, state, good, bad))
        self._lost(bad)
        return state

    def last(self) -> float | None:
        """When all was last checked, in seconds since 1970; None if never."""
        return self._index.checked_at()

    def note(self, at: float) -> None:
        """All was checked. Raises DiskError."""
        with writing(self._folder), self._index.transaction():
            self._index.check_done(at)

    def _is_right(self, address: bytes, place: PackPlace, learned: list[_Placed]) -> bool | None:
        """Whether the disk has the right bytes; None if it does not say.

        Adds to `learned` the places of which the CRC-32 was not known.
        """
        try:
            data = self._packs.read(place)
        except OSError:
            return None
        if sealing.address_of(data) != address:
            return False
        if place.crc is None:
            learned.append((address, place._replace(crc=zlib.crc32(data))))
        return True

    def _record(self, state: ScrubState, good: Sequence[_Placed], bad: Sequence[bytes]) -> None:
        with self._index.transaction():
            self._index.record(good)
            self._index.forget(bad)
            self._index.scrub(None if state.done else state)
