"""Checks under way, each a STUN transaction with its repetitions (RFC 8489, 6.2.1)."""

import heapq
from collections.abc import Callable
from enum import Enum
from math import inf
from typing import Final

from protocol import limits
from protocol.ice.pairs import CandidatePair

_BACK_OFF: Final = 2


class Purpose(Enum):
    """What a check is to find out."""

    CONNECTIVITY = "connectivity"
    CONSENT = "consent"
    PROBE = "probe"
    """Whether anything answers at an address that is no candidate."""
    UPKEEP = "upkeep"
    """How good a path is that works, and whether it still does."""


_SEARCHING = frozenset({Purpose.CONNECTIVITY, Purpose.PROBE})


class OutgoingCheck:
    """One check. `controlling` is the role that it told; `repeats`: how often it may go out yet."""

    __slots__ = (
        "cancelled",
        "controlling",
        "datagram",
        "due_at",
        "first_sent_at",
        "pair",
        "purpose",
        "repeats",
        "transaction",
        "transmissions",
        "wait_s",
    )

    def __init__(
        self,
        transaction: bytes,
        datagram: bytes,
        pair: CandidatePair,
        purpose: Purpose,
        controlling: bool,
        now: float,
        wait_s: float,
        repeats: int,
    ) -> None:
        self.transaction = transaction
        self.datagram = datagram
        self.pair = pair
        self.purpose = purpose
        self.controlling = controlling
        self.first_sent_at = now
        self.wait_s = wait_s
        self.due_at = now + wait_s
        self.repeats = repeats
        self.transmissions = 1
        self.cancelled = False

    def repeated(self, now: float, last_wait_s: float) -> None:
        """It was sent once more; the wait doubles, up to a bound after the last time."""
        self.repeats -= 1
        self.transmissions += 1
        self.wait_s *= _BACK_OFF
        if not self.repeats:
            self.wait_s = min(self.wait_s, last_wait_s)
        self.due_at = now + self.wait_s

    def cancel(self) -> None:
        """Send it no more; an answer that comes yet still counts (RFC 8445, 7.3.1.4)."""
        self.repeats = 0
        self.cancelled = True

    def round_trip_s(self, now: float) -> float | None:
        """The round trip of an answer that comes now, or None if any of several was answered."""
        return now - self.first_sent_at if self.transmissions == 1 else None


class Transactions:
    """All checks of one generation that may still be answered."""

    def __init__(self) -> None:
        self._checks: dict[bytes, OutgoingCheck] = {}
        self._due: list[tuple[float, int, OutgoingCheck]] = []
        self._order = 0

    def __contains__(self, transaction: bytes) -> bool:
        return transaction in self._checks

    def __len__(self) -> int:
        return len(self._checks)

    @property
    def full(self) -> bool:
        """Whether as many checks are under way as may be."""
        return len(self._checks) >= limits.ICE_CHECKS_OUTSTANDING

    def add(self, check: OutgoingCheck) -> None:
        """Wait for an answer to a check that has just been sent."""
        self._checks[check.transaction] = check
        self.wait(check)

    def wait(self, check: OutgoingCheck) -> None:
        """Wait until `due_at`."""
        self._order += 1
        heapq.heappush(self._due, (check.due_at, self._order, check))

    def get(self, transaction: bytes) -> OutgoingCheck | None:
        """The check with this transaction id."""
        return self._checks.get(transaction)

    def end(self, check: OutgoingCheck) -> None:
        """Wait no longer for an answer."""
        self._checks.pop(check.transaction, None)

    def cancel(self, pair: CandidatePair, *, consent: bool = False) -> None:
        """Send no check again that looks for this pair; `consent`: nor that asks for consent."""
        for check in self._checks.values():
            is_meant = check.purpose in _SEARCHING or (consent and check.purpose is Purpose.CONSENT)
            if check.pair is pair and is_meant:
                check.cancel()

    def cancel_unwanted(self, is_wanted: Callable[[CandidatePair], bool]) -> None:
        """Send no check again that looks for a pair that is not wanted."""
        for check in self._checks.values():
            if check.purpose in _SEARCHING and not is_wanted(check.pair):
                check.cancel()

    def next_due(self) -> float:
        """When the next check is to be repeated or given up; inf if there is none."""
        due = self._due
        while due and not self._is_current(due[0]):
            heapq.heappop(due)
        return due[0][0] if due else inf

    def take_due(self, now: float) -> OutgoingCheck | None:
        """A check whose wait is over, or None."""
        if self.next_due() > now:
            return None
        return heapq.heappop(self._due)[2]

    def _is_current(self, entry: tuple[float, int, OutgoingCheck]) -> bool:
        at, _, check = entry
        return check.due_at == at and check.transaction in self._checks
