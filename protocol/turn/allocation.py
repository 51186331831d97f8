"""One allocation at a relay (RFC 8656, 6): a client, its relayed address, whom it lets in."""

from dataclasses import dataclass, field

from protocol import limits
from protocol.addresses import Address
from protocol.errors import RelayRefusal
from protocol.rate_limit import RateLimit
from protocol.stun.attributes import ErrorCode

FiveTuple = tuple[Address, Address]
"""The client's address, and the relay's own that it sends to; the transport is always UDP."""


@dataclass(slots=True)
class BoundChannel:
    """A channel of an allocation: the 2 bytes of its number, and until when it is bound."""

    number: bytes
    expires_at: float


@dataclass(slots=True, eq=False)
class Allocation:
    """`owner` is whose credentials made it, `transaction` the id of the request that did.

    `is_virtual`: the relayed address names the allocation and is not bound. `rate` counts what the
    relay forwards of it, `datagrams` how many went on, `requests` what its client asks; `networks`
    are those of the client, the smallest first. `permissions` are by the peer's IP literal and say
    until when; `channels` are by the peer's address.
    """

    client: Address
    local: Address
    owner: bytes
    relayed: Address
    is_virtual: bool
    transaction: bytes
    made_at: float
    expires_at: float
    rate: RateLimit
    networks: tuple[bytes, ...] = ()
    datagrams: int = 0
    permissions: dict[str, float] = field(default_factory=dict)
    channels: dict[Address, BoundChannel] = field(default_factory=dict)
    requests: RateLimit = field(
        default_factory=lambda: RateLimit(
            limits.RELAY_OWN_REQUESTS_PER_SECOND, limits.RELAY_OWN_REQUESTS_BURST
        )
    )

    @property
    def five_tuple(self) -> FiveTuple:
        """What tells it from other allocations."""
        return self.client, self.local

    @property
    def used_at(self) -> float:
        """When it last carried anything, to within a burst; else when it was made."""
        return max(self.rate.full_at, self.made_at)

    @property
    def used_ever(self) -> bool:
        """Whether it has carried anything."""
        return bool(self.rate.full_at)

    def is_idle(self, now: float) -> bool:
        """Whether it is of so little use that it makes room for another one.

        What checks consent carries something every few seconds (RFC 7675, 5.1).
        """
        waits_s = limits.RELAY_IDLE_S if self.used_ever else limits.RELAY_UNUSED_S
        return now - self.used_at > waits_s

    @property
    def holder(self) -> bytes | str:
        """Who has a part of the relay: the widest public network of the client, or its host."""
        return self.networks[-1] if self.networks else self.client.host

    def forwarded(self, datagrams: int) -> None:
        """So many more datagrams of it were sent on."""
        self.datagrams += datagrams

    def use(self, now: float) -> float:
        """Datagrams a second that it has carried since it was made."""
        return self.datagrams / max(now - self.made_at, 1.0)

    def renew(self, until: float) -> None:
        """Let it stand until then."""
        self.expires_at = until

    def permitted_until(self, host: str) -> float:
        """Until when packets from a peer's host are let in; 0 without a permission."""
        return self.permissions.get(host, 0.0)

    def permit(self, host: str, now: float) -> None:
        """Install or renew a permission; raises RelayRefusal beyond RELAY_PERMISSIONS."""
        if host not in self.permissions and len(self.permissions) >= limits.RELAY_PERMISSIONS:
            self._forget_expired(now)
            if len(self.permissions) >= limits.RELAY_PERMISSIONS:
                raise RelayRefusal(ErrorCode.INSUFFICIENT_CAPACITY, "too many permissions")
        self.permissions[host] = now + limits.RELAY_PERMISSION_S

    def bind(self, number: bytes, peer: Address, now: float) -> None:
        """Bind or renew a channel, and its permission (RFC 8656, 12.2); raises RelayRefusal."""
        self._forget_expired(now)
        bound = self.channels.get(peer)
        if bound is not None and bound.number != number:
            raise RelayRefusal(ErrorCode.BAD_REQUEST, "the peer has another channel")
        if bound is None:
            if any(other.number == number for other in self.channels.values()):
                raise RelayRefusal(ErrorCode.BAD_REQUEST, "the channel has another peer")
            if len(self.channels) >= limits.RELAY_CHANNELS:
                raise RelayRefusal(ErrorCode.INSUFFICIENT_CAPACITY, "too many channels")
        self.permit(peer.host, now)
        self.channels[peer] = BoundChannel(number, now + limits.RELAY_CHANNEL_S)

    def channel_to(self, peer: Address, now: float) -> BoundChannel | None:
        """The channel that is bound to a peer now."""
        bound = self.channels.get(peer)
        return bound if bound is not None and bound.expires_at > now else None

    def peer_of(self, number: bytes, now: float) -> Address | None:
        """The peer that a channel is bound to now."""
        for peer, bound in self.channels.items():
            if bound.number == number and bound.expires_at > now:
                return peer
        return None

    def _forget_expired(self, now: float) -> None:
        for host in [host for host, until in self.permissions.items() if until <= now]:
            del self.permissions[host]
        for peer in [peer for peer, bound in self.channels.items() if bound.expires_at <= now]:
            del self.channels[peer]
