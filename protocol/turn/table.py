"""The allocations of one relay, found by what a packet shows, and bounded by the relay's quota."""

from collections import Counter

from protocol import limits
from protocol.addresses import Address, pack_address
from protocol.errors import RelayRefusal
from protocol.overlay.networks import networks_at
from protocol.stun.attributes import ErrorCode
from protocol.turn.allocation import Allocation, FiveTuple
from protocol.turn.credentials import Account
from protocol.turn.terms import RelayQuota

_PORT_BYTES = 2

_TRIED_PART = 4
"""A flood of newcomers displaces what is in use only while this part of all has carried nothing."""


class AllocationTable:
    """What has expired is not found, and makes room when the next allocation is asked for."""

    def __init__(self, quota: RelayQuota) -> None:
        self._quota = quota
        self._by_five_tuple: dict[FiveTuple, Allocation] = {}
        self._by_relayed: dict[Address, list[Allocation]] = {}

    def count(self, now: float) -> int:
        """Allocations that have not expired."""
        return sum(1 for one in self._by_five_tuple.values() if one.expires_at > now)

    def get(self, five_tuple: FiveTuple, now: float) -> Allocation | None:
        """The allocation of a five-tuple."""
        found = self._by_five_tuple.get(five_tuple)
        return found if found is not None and found.expires_at > now else None

    def has_client(self, address: Address, now: float) -> bool:
        """Whether a client at this address has an allocation."""
        return any(
            one.client == address and one.expires_at > now for one in self._by_five_tuple.values()
        )

    def at(self, relayed: Address, now: float) -> list[Allocation]:
        """The allocations of a relayed address, the newest first.

        A peer has two of one virtual address while it moves from one network or family to another.
        """
        found = self._by_relayed.get(relayed, ())
        return [one for one in reversed(found) if one.expires_at > now]

    def is_taken(self, relayed: Address, now: float) -> bool:
        """Whether a relayed address that is bound has an allocation."""
        return bool(self.at(relayed, now))

    def make_room(self, account: Account, client: Address, now: float) -> tuple[bytes, ...]:
        """The client's public networks, once there is room for it; raises RelayRefusal.

        Where a bound is reached the allocation that was used least lately ends if it is idle: what
        links use is kept. If none is idle, and the whole table full, the network with most of it
        gives up what carries least for one that has fewer by two; where none has, what carries
        least of all goes after its tenure for a network that has nothing. One foreign client may
        have all relayed ports that are configured.
        """
        self._forget_expired(now)
        held = self._by_five_tuple.values()
        quota = self._quota
        networks = networks_at(pack_address(client)[:-_PORT_BYTES])
        if account.is_peer:
            same = [one for one in held if one.owner == account.owner]
            self._keep_below(quota.per_peer, same, ErrorCode.ALLOCATION_QUOTA_REACHED, now)
        for network in networks:
            same = [one for one in held if network in one.networks]
            most = limits.RELAY_ALLOCATIONS_PER_NETWORK[len(network)]
            self._keep_below(most, same, ErrorCode.ALLOCATION_QUOTA_REACHED, now)
        if len(held) >= quota.allocations:
            self._share(networks[-1] if networks else client.host, now)
        self._keep_below(quota.allocations, list(held), ErrorCode.INSUFFICIENT_CAPACITY, now)
        return networks

    def _share(self, holder: bytes | str, now: float) -> None:
        """If none idles, end one of the holder of most, or for a new holder the least used."""
        held = list(self._by_five_tuple.values())
        if any(one.is_idle(now) for one in held):
            return
        counts = Counter(one.holder for one in held)
        most = max(counts.values())
        if most >= counts[holder] + 2:
            yielding = [one for one in held if counts[one.holder] == most]
        elif counts[holder] or self._untried(held) >= self._quota.allocations // _TRIED_PART:
            yielding = []
        else:
            yielding = [one for one in held if now - one.made_at > limits.RELAY_TENURE_S]
        if yielding:
            self.remove(min(yielding, key=lambda one: one.use(now)))

    def _untried(self, held: list[Allocation]) -> int:
        """Those that have carried nothing: so many newcomers may be about to become links."""
        return sum(not one.used_ever for one in held)

    def _keep_below(
        self, most: int, allocations: list[Allocation], code: ErrorCode, now: float
    ) -> None:
        """Let fewer than `most` of these stand; raises RelayRefusal with this code."""
        if len(allocations) < most:
            return
        idle = [one for one in allocations if one.is_idle(now)]
        if not idle:
            raise RelayRefusal(code, f"as many allocations as are allowed, all in use: {most}")
        self.remove(min(idle, key=lambda one: one.used_at))

    def add(self, allocation: Allocation) -> None:
        """Keep an allocation, for which there is room."""
        self._by_five_tuple[allocation.five_tuple] = allocation
        self._by_relayed.setdefault(allocation.relayed, []).append(allocation)

    def end(self, five_tuple: FiveTuple) -> None:
        """Forget the allocation of a five-tuple, if there is one."""
        if (found := self._by_five_tuple.get(five_tuple)) is not None:
            self.remove(found)

    def remove(self, allocation: Allocation) -> None:
        """Forget an allocation."""
        del self._by_five_tuple[allocation.five_tuple]
        same = self._by_relayed[allocation.relayed]
        same.remove(allocation)
        if not same:
            del self._by_relayed[allocation.relayed]

    def _forget_expired(self, now: float) -> None:
        for one in [one for one in self._by_five_tuple.values() if one.expires_at <= now]:
            self.remove(one)
