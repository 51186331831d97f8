"""A request of a TURN client until its response: when it is repeated, and when given up."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocol.addresses import Address
from protocol.stun.message import StunMethod

_FACTOR: Final = 2
"""How much longer each wait is than the one before (RFC 8489, 6.2.1)."""

_CHALLENGES: Final = 2
"""How often a 401 or 438 is answered: the first may have brought the realm alone."""

Fields = Callable[[bytes], tuple[tuple[int, bytes], ...]]
"""The attributes of a request beside its credentials, for a transaction id."""


@dataclass(slots=True, eq=False)
class TurnRequest:
    """One request; `peer` is whose permission or channel it is about.

    `challenged` counts the 401 and 438 that it was answered with; `nonce` and `key` are
    what it was sent with.
    """

    method: StunMethod
    fields: Fields
    wait_s: float
    tries_left: int
    peer: Address | None = None
    transaction: bytes = b""
    datagram: bytes = b""
    nonce: str = ""
    key: bytes = b""
    due_at: float = 0.0
    challenged: int = 0

    def sent_as(
        self, transaction: bytes, datagram: bytes, nonce: str, key: bytes, now: float
    ) -> None:
        """Note that it was sent under a new transaction id, with this nonce and key or none."""
        self.transaction, self.datagram, self.nonce, self.key = transaction, datagram, nonce, key
        self.sent(now)

    def may_be_sent_again(self) -> bool:
        """Note a challenge; whether it is answered once more."""
        self.challenged += 1
        return self.challenged <= _CHALLENGES

    def sent(self, now: float) -> None:
        """Note that it was sent once more."""
        self.tries_left -= 1
        self.due_at = now + self.wait_s
        self.wait_s *= _FACTOR
