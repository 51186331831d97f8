"""Proof, by two witnesses, that a peer is at an address, before many datagrams are sent there.

    peer     WITNESS [token]      -> to each witness that the other's description names
    prober   WITNESSED [token]    -> asks its own: [the IP literals that sent it, packed]

Only the two sides of a call know the token: it follows from the offer. A witness takes it from
proved addresses only, so that no sender shows another's address. It is a contact that the prober
has chosen: one word of a registrar, which the peer could have chosen by its id, would make the
prober a reflector of the peer's.
"""

import hashlib
import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence

from protocol import limits
from protocol.codec import list_of
from protocol.errors import Malformed, RateLimited
from protocol.identity import PeerId
from protocol.overlay.shares import Holder, Shares, holders_of

PUNCH_TOKEN_BYTES = 16
_PURPOSE = b"modswarm/punch/1\0"
_READY_PURPOSE = b"modswarm/ready/1\0"
_PACKED_LENGTHS = (4, 16)


def punch_token(offer_id: bytes, sender: PeerId) -> bytes:
    """The token that one side of a call leaves with the witnesses of the other."""
    return hashlib.sha256(_PURPOSE + offer_id + sender).digest()[:PUNCH_TOKEN_BYTES]


def ready_token(offer_id: bytes, sender: PeerId) -> bytes:
    """The token of a side that has many sockets to open, and waits for the other's turn."""
    return hashlib.sha256(_READY_PURPOSE + offer_id + sender).digest()[:PUNCH_TOKEN_BYTES]


def encode_hosts(hosts: Sequence[str]) -> list[bytes]:
    """IP literals as a witness tells them."""
    return [ipaddress.ip_address(host).packed for host in hosts]


def decode_hosts(value: list[object]) -> list[str]:
    """The IP literals that a witness tells; raises Malformed, Oversized."""
    packed: list[bytes] = list_of(value, bytes, max_items=limits.WITNESSED_HOSTS)
    if any(len(one) not in _PACKED_LENGTHS for one in packed):
        raise Malformed("an IP address of an impossible length")
    return [str(ipaddress.ip_address(one)) for one in packed]


def seen_by_enough(testimonies: Iterable[Iterable[str]]) -> frozenset[str]:
    """The hosts that as many witnesses as are needed have seen; one testimony of each witness."""
    voices = Counter(host for told in testimonies for host in frozenset(told))
    return frozenset(host for host, count in voices.items() if count >= limits.WITNESSES_NEEDED)


class WitnessBook:
    """The tokens that were left with this node, and the hosts that left them.

    A host and each public network have a part of it, and where it is full the network that has left
    most gives up its oldest token for one of a network with fewer: a few keep no other out.
    """

    def __init__(self, capacity: int = limits.WITNESSED_TOKENS) -> None:
        self._capacity = capacity
        self._seen: OrderedDict[bytes, tuple[float, list[str]]] = OrderedDict()
        self._held: Counter[Holder] = Counter()
        self._shares = Shares()

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, token: bytes, host: str, now: float) -> None:
        """A token was left from a proved address; raises RateLimited if there is no room.

        One that is left again is told as long again.
        """
        self._forget_old(now)
        at, hosts = self._seen.get(token, (now, []))
        if host in hosts:
            self._seen[token] = (now, hosts)
            self._seen.move_to_end(token)
            return
        if len(hosts) >= limits.WITNESSED_HOSTS:
            return
        holders = holders_of(host)
        self._make_room(token, holders)
        self._seen[token] = (at, hosts)
        hosts.append(host)
        self._held.update(holders)
        self._shares.add(holders[-1], token)

    def hosts(self, token: bytes, now: float) -> list[str]:
        """The hosts that left a token lately."""
        self._forget_old(now)
        return list(self._seen.get(token, (now, []))[1])

    def _make_room(self, token: bytes, holders: tuple[Holder, ...]) -> None:
        if any(self._held[one] >= _part(one) for one in holders):
            raise RateLimited("more tokens of one host or network than a witness keeps")
        if token in self._seen or len(self._seen) < self._capacity:
            return
        yielding = self._shares.yields(holders[-1])
        if yielding is None:
            raise RateLimited("more tokens than a witness keeps")
        self._forget(yielding)

    def _forget_old(self, now: float) -> None:
        while self._seen:
            token, (at, _) = next(iter(self._seen.items()))
            if now - at < limits.WITNESSED_S:
                return
            self._forget(token)

    def _forget(self, token: bytes) -> None:
        _, hosts = self._seen.pop(token)
        for host in hosts:
            holders = holders_of(host)
            self._held -= Counter(holders)
            self._shares.remove(holders[-1], token)


def _part(holder: Holder) -> int:
    if isinstance(holder, str):
        return limits.WITNESSED_PER_HOST
    return limits.WITNESSED_PER_NETWORK[len(holder)]
