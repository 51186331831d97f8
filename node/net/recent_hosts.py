"""The hosts that this node sent to, or heard from, lately: their dial-backs say nothing.

NATs and firewalls let in whom was sent to, and many of them for as long as datagrams come from
there. All ports note hosts here, so it must cost next to nothing: two generations of a set, no
clock.
"""

from protocol import limits


class RecentHosts:
    """Remembers each host for one to two generations. Where it is full, it answers yes."""

    def __init__(self) -> None:
        self._young: set[str] = set()
        self._old: set[str] = set()
        self._overflowed = self._old_overflowed = False

    def note(self, host: str) -> None:
        """A datagram leaves for this host, or came from it."""
        if len(self._young) < limits.RECENT_HOSTS:
            self._young.add(host)
        else:
            self._overflowed = True

    def __contains__(self, host: str) -> bool:
        overflowed = self._overflowed or self._old_overflowed
        return overflowed or host in self._young or host in self._old

    def known(self) -> set[str]:
        """All that are remembered; those of an overflow are not among them."""
        return self._young | self._old

    def begin_generation(self) -> None:
        """Forget what was noted before the last generation."""
        self._old, self._young = self._young, set()
        self._old_overflowed, self._overflowed = self._overflowed, False

    def clear(self) -> None:
        """Every NAT on the way has forgotten all of them."""
        self._young, self._old = set(), set()
        self._overflowed = self._old_overflowed = False
