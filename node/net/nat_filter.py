"""The paths of a node that cannot be reached unasked: from whom it hears, as it sent there."""

from collections.abc import Callable

from protocol import limits
from protocol.addresses import Address


class NatFilter:
    """As a NAT that filters by address and port; `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sent_at: dict[Address, float] = {}

    def sent(self, address: Address) -> None:
        """A datagram left for this address; the longest unused paths are forgotten first."""
        self._sent_at.pop(address, None)
        self._sent_at[address] = self._clock()
        if len(self._sent_at) > limits.PEERS_REMEMBERED:
            del self._sent_at[next(iter(self._sent_at))]

    def lead_to(self, address: Address) -> bool:
        """Whether what comes from this address is let in."""
        sent_at = self._sent_at.get(address)
        return sent_at is not None and self._clock() - sent_at <= limits.PATH_S
