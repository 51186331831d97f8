"""All bytes of a vault are checked, some at a time."""

from collections.abc import Callable, Sequence
from functools import partial

from google_crc32c import value as crc_of

from node.content.vault.index import ScrubState
from node.content.vault.packs import PackPlace
from node.content.vault.upkeep.parts import StoreParts
from node.files import writing
from protocol.content import sealing

_CHECKED_BYTES = 8 * 2**20
_CHECKED = 4096
"""So many bytes and blobs are checked at once, at most."""

_Placed = tuple[bytes, PackPlace]


class Scrubbing:
    """Checks the SHA-256 of all bytes of one vault, some at a time; `lost` learns what was bad."""

    def __init__(self, parts: StoreParts, lost: Callable[[Sequence[bytes]], None]) -> None:
        self._folder, self._index = parts.folder, parts.index
        self._packs, self._reserve = parts.packs, parts.reserve
        self._lost = lost

    def step(self) -> ScrubState:
        """Check the next megabytes; returns how far it is. Raises DiskError.

        What is damaged is forgotten, so that it can be fetched again. What the disk does not give
        out now is left as it is.
        """
        with writing(self._folder):
            state = self._index.scrubbed()
            found = self._index.after(state.pack, state.start, _CHECKED)
            enough, good, bad = state.bytes + _CHECKED_BYTES, list[_Placed](), list[bytes]()
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

        Adds to `learned` the places of which the CRC-32C was not known.
        """
        try:
            data = self._packs.read(place)
        except OSError:
            return None
        if sealing.address_of(data) != address:
            return False
        if place.crc is None:
            learned.append((address, place._replace(crc=crc_of(data))))
        return True

    def _record(self, state: ScrubState, good: Sequence[_Placed], bad: Sequence[bytes]) -> None:
        with self._index.transaction():
            self._index.record(good)
            self._index.forget(bad)
            self._index.scrub(None if state.done else state)
