"""Whether requests bring no answers at all: then it is the way out that is closed."""

import math

from protocol import limits
from protocol.addresses import Address


class UnansweredRequests:
    """Which contacts were asked since one answered. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._since = math.inf
        self._asked: set[Address] = set()

    def asked(self, address: Address, now: float) -> None:
        """A contact was asked."""
        self._since = min(self._since, now)
        if len(self._asked) < limits.UDP_SILENT_CONTACTS:
            self._asked.add(address)

    def answered(self) -> None:
        """One has answered."""
        self._since = math.inf
        self._asked.clear()

    def is_silent(self, contacts: int, now: float) -> bool:
        """Whether nothing was heard for UDP_SILENT_S after several of `contacts` were asked."""
        enough = max(1, min(contacts, limits.UDP_SILENT_CONTACTS))
        return now - self._since > limits.UDP_SILENT_S and len(self._asked) >= enough
