"""Who stored a record, and who has most of a table that others fill, level by level."""

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from protocol import limits
from protocol.identity import PeerId
from protocol.overlay.networks import networks_at
from protocol.overlay.shares import Shares

_NETWORK_LEVELS = 2
"""IPv4 /24 and the address, IPv6 /32 and /48: each level costs memory."""

Path = tuple[bytes, ...]
"""The widest network that something is in, then ever narrower ones; the last is one peer."""


class Storer(NamedTuple):
    """The peer that a record came from, which mostly is its publisher."""

    path: Path

    @classmethod
    @lru_cache(maxsize=limits.PEERS_REMEMBERED)
    def at(cls, peer_id: PeerId, host: str) -> "Storer":
        """A peer at an IP literal: in its public networks, or at its private address alone."""
        packed = ipaddress.ip_address(host).packed
        widest_first = (*reversed(networks_at(packed)), packed)
        return cls((*widest_first[:_NETWORK_LEVELS], peer_id))

    @classmethod
    def itself(cls, peer_id: PeerId) -> "Storer":
        """This node, which stores records of its own."""
        return cls((peer_id,))

    @property
    def peer_id(self) -> PeerId:
        """The peer."""
        return self.path[-1]

    @property
    def network(self) -> bytes:
        """The widest network that it is in."""
        return self.path[0]


class NestedShares:
    """What has most is found among the widest networks first, then inside of that one, and so on.

    So many identities of one network, or at one address, count as one, and a peer with much does
    not give way to a network whose peers have little each. `path_of` gives the path of an entry.
    """

    def __init__(self, path_of: Callable[[bytes], Path]) -> None:
        self._path_of = path_of
        self._inside: dict[Path, Shares] = {}

    def add(self, path: Path, key: bytes) -> None:
        """One more entry of the peer at the end of a path."""
        for level, holder in enumerate(path):
            self._inside.setdefault(path[:level], Shares()).add(holder, key)

    def remove(self, path: Path, key: bytes) -> None:
        """An entry is gone."""
        for level, holder in enumerate(path):
            shares = self._inside[path[:level]]
            shares.remove(holder, key)
            if not len(shares):
                del self._inside[path[:level]]

    def unknown_levels(self, path: Path) -> int:
        """How many networks of a path, and its peer, have no entry yet."""
        for level, holder in enumerate(path):
            shares = self._inside.get(path[:level])
            if shares is None or not shares.count(holder):
                return len(path) - level
        return 0

    def count(self, path: Path) -> int:
        """How many entries the peer at the end of a path has."""
        shares = self._inside.get(path[:-1])
        return shares.count(path[-1]) if shares else 0

    def has_less(self, path: Path, other: Path) -> bool:
        """Whether where two paths part the first has fewer entries, by two at least."""
        for level, (holder, others) in enumerate(zip(path, other, strict=False)):
            if holder != others:
                shares = self._inside.get(path[:level])
                return shares is not None and shares.count(holder) + 2 <= shares.count(others)
        return False

    def of_peer(self, path: Path) -> tuple[bytes, ...]:
        """The keys of the peer at the end of a path, the oldest first."""
        shares = self._inside.get(path[:-1])
        return shares.keys(path[-1]) if shares else ()

    def yields(self, path: Path) -> Path | None:
        """The peer that gives up an entry for one more at the end of a path; None to refuse."""
        for level, holder in enumerate(path):
            shares = self._inside.get(path[:level])
            key = shares.yields(holder) if shares else None
            if key is not None:
                return self._largest_inside(self._path_of(key), level + 1)
        return None

    def _largest_inside(self, path: Path, level: int) -> Path:
        while level < len(path):
            crowded = self._inside[path[:level]].largest()
            path = self._path_of(crowded)
            level += 1
        return path
