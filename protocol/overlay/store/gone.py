"""The newest records of lineages that a store has held and holds no more.

All may store a lineage's record again, so without this an older one could be stored where a newer
one was evicted. Where too many are remembered, the network whose peers stored most of them gives
up its oldest.
"""

from typing import NamedTuple

from protocol import limits
from protocol.content.lineage import history
from protocol.errors import SequenceTooLow
from protocol.overlay.shares import Shares
from protocol.overlay.store.values import Value


class _Gone(NamedTuple):
    sequence: int
    digest: bytes
    network: bytes


class GoneLineages:
    """By the slots of their values."""

    def __init__(self, max_entries: int = limits.STORE_LINEAGES_GONE) -> None:
        self._max_entries = max_entries
        self._gone: dict[bytes, _Gone] = {}
        self._shares = Shares()

    def __len__(self) -> int:
        return len(self._gone)

    def check(self, value: Value) -> None:
        """Raise SequenceTooLow for a record that one which was here would not have given way to."""
        gone = self._gone.get(value.slot)
        if gone is None or history.hash_of(value.record) == gone.digest:
            return
        if not history.supersedes(value.record, gone.sequence, gone.digest):
            raise SequenceTooLow(
                f"sequence {value.record.sequence} where {gone.sequence} was stored before"
            )

    def add(self, value: Value) -> None:
        """This one is held no more."""
        network = value.storer.network
        if len(self._gone) >= self._max_entries:
            self.discard(self._shares.yields(network) or self._oldest(network))
        record = value.record
        self._gone[value.slot] = _Gone(record.sequence, history.hash_of(record), network)
        self._shares.add(network, value.slot)

    def discard(self, slot: bytes) -> None:
        """What stands there now is as new, or is forgotten."""
        gone = self._gone.pop(slot, None)
        if gone is not None:
            self._shares.remove(gone.network, slot)

    def _oldest(self, network: bytes) -> bytes:
        own = self._shares.keys(network)
        return own[0] if own else self._shares.largest()
