"""Who holds how much of a table that others fill, so that no network holds it against the rest.

A full table does not serve those who came first: the holder of most gives up its oldest entry for
one of a holder with fewer by two. So as many networks as the table has entries are needed to keep
others out, and who holds little loses nothing.
"""

import ipaddress

from protocol.overlay.networks import networks_at

Holder = str | bytes
"""An IP literal, or the prefix of a public network."""


def holders_of(host: str) -> tuple[Holder, ...]:
    """Whom an entry of a host counts for: it, and its public networks; the widest is last."""
    return host, *networks_at(ipaddress.ip_address(host).packed)


class Shares:
    """The entries of each holder by their keys, and the holders by how many they have."""

    __slots__ = ("_by_count", "_keys")

    def __init__(self) -> None:
        self._keys: dict[Holder, dict[bytes, None]] = {}
        self._by_count: dict[int, dict[Holder, None]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, holder: Holder, key: bytes) -> None:
        """The holder has this entry from now on; once, however often it is added."""
        before = self.count(holder)
        self._keys.setdefault(holder, {})[key] = None
        self._recount(holder, before)

    def remove(self, holder: Holder, key: bytes) -> None:
        """The holder has this entry no more."""
        before = self.count(holder)
        self._keys.get(holder, {}).pop(key, None)
        self._recount(holder, before)

    def yields(self, holder: Holder) -> bytes | None:
        """The key that makes room in a full table for one more of this holder; None to refuse."""
        most = max(self._by_count, default=0)
        return self.largest() if most >= self.count(holder) + 2 else None

    def largest(self) -> bytes:
        """The oldest key of a holder of most; there must be one."""
        return next(iter(self._keys[next(iter(self._by_count[max(self._by_count)]))]))

    def keys(self, holder: Holder) -> tuple[bytes, ...]:
        """The entries of a holder, the oldest first."""
        return tuple(self._keys.get(holder, ()))

    def count(self, holder: Holder) -> int:
        """How many entries a holder has."""
        return len(self._keys.get(holder, ()))

    def _recount(self, holder: Holder, before: int) -> None:
        if same := self._by_count.get(before):
            same.pop(holder, None)
            if not same:
                del self._by_count[before]
        if now := self.count(holder):
            self._by_count.setdefault(now, {})[holder] = None
        else:
            self._keys.pop(holder, None)
