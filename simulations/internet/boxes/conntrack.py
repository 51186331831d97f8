"""What a Linux router keeps of packets that came unasked, and what that costs those inside.

Its conntrack makes an entry for each packet that the router itself accepts, P:p to E:4001 say. When
I:4001 inside then sends to P:p, masquerading would make a connection whose reply tuple is P:p to
E:4001 too. Tuples are unique, so it gets another port, and P, who expects E:4001, drops what comes
(nf_nat_core.c, `nf_nat_used_tuple`). The entry lives while P goes on sending. A router that drops
such input never confirms the entry, and an inside endpoint that sent first has the tuple itself.
"""

from typing import Final

from simulations.internet.addresses import HostPort

UNREPLIED_S: Final = 30.0
"""Linux's nf_conntrack_udp_timeout: an entry that nothing was answered to."""
ENTRIES_MAX: Final = 4096
"""More than any experiment's remotes; a router's table has its own bound."""


class UnsolicitedInput:
    """Entries of packets that the router took for itself, by (outside endpoint, remote)."""

    def __init__(self) -> None:
        self._seen_at: dict[tuple[HostPort, HostPort], float] = {}

    def note(self, outside: HostPort, remote: HostPort, now: float) -> None:
        """A packet of `remote` came unasked; the entry longest silent makes room for it."""
        self._seen_at.pop((outside, remote), None)
        self._seen_at[outside, remote] = now
        if len(self._seen_at) > ENTRIES_MAX:
            del self._seen_at[next(iter(self._seen_at))]

    def has(self, outside: HostPort, remote: HostPort, now: float) -> bool:
        """Whether an entry stands in the way of a connection between the two."""
        seen_at = self._seen_at.get((outside, remote))
        return seen_at is not None and now - seen_at < UNREPLIED_S

    def forget(self) -> None:
        """Lose every entry, as a router that restarts."""
        self._seen_at.clear()
