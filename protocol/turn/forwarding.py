"""What a relay does with data: from one allocation to the other of a pair, or to a relayed port.

A joined buffer of ChannelData whose peer has bound the same number goes on untouched; with another
number only each header changes, and nothing is copied. The way from a channel to its peer is found
once and kept, until something that it rests on expires or any allocation changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from protocol import limits
from protocol.addresses import Address
from protocol.errors import NotPermitted, RateLimited
from protocol.randomness import Random
from protocol.stun.attributes import Attribute, encode_xor_address
from protocol.stun.message import (
    STUN_TRANSACTION_BYTES,
    StunClass,
    StunMessage,
    StunMethod,
    encode_stun,
)
from protocol.turn.allocation import Allocation, FiveTuple
from protocol.turn.channel_data import (
    CHANNEL_HEADER_BYTES,
    Parts,
    is_one_channel,
    rewrap,
    untouched,
    unwrap,
    wrap,
)
from protocol.turn.table import AllocationTable
from protocol.turn.terms import RelayMeter

_HEADERS_BYTES: Final = {4: 28, 6: 48}
"""IP and UDP, which every datagram costs, by the version of IP."""

_INDICATION_BYTES: Final = 51
"""What a Data indication has at most besides the data: header, IPv6 peer, attribute, padding."""


class RelaySend(NamedTuple):
    """Datagrams of `size` bytes each to `remote`, in parts, from the port bound to `local`."""

    parts: Parts
    size: int
    remote: Address
    local: Address


@dataclass(frozen=True, slots=True)
class _Way:
    """From a channel of `sender` to `remote`, from the port bound to `local`, good until `until`.

    `channel` is the 2 bytes of what the peer's allocation has bound to the sender; None where it
    has bound nothing, or the peer is behind a relayed port. A datagram leaves with `added` bytes
    more than the ChannelData has.
    """

    sender: Allocation
    remote: Address
    local: Address
    channel: bytes | None
    added: int
    until: float
    carry: Callable[["_Way", bytes, int], list[RelaySend]]


class Forwarder:
    """Forwards the data of the allocations in `table`; `rng` draws ids of Data indications.

    Raises NotPermitted for data without a permission, RateLimited for more than the terms allow,
    Malformed. What is refused is dropped, and nothing tells the sender (RFC 8656, 11.2).
    """

    def __init__(self, table: AllocationTable, meter: RelayMeter, rng: Random) -> None:
        self._table = table
        self._meter = meter
        self._rng = rng
        self._ways: dict[tuple[Address, Address, bytes], _Way] = {}

    def changed(self) -> None:
        """Find every way anew: an allocation, a permission or a channel has changed."""
        self._ways.clear()

    # From clients ---------------------------------------------------------------------------

    def channel_received(
        self, buffer: bytes, size: int, source: Address, local: Address, now: float
    ) -> list[RelaySend]:
        """Forward ChannelData of one client: one datagram, or a joined buffer."""
        length = len(buffer)
        if length > size and not is_one_channel(buffer, size):
            sends: list[RelaySend] = []
            for at in range(0, length, size):
                one = buffer[at : at + size]
                sends += self.channel_received(one, len(one), source, local, now)
            return sends
        key = (source, local, buffer[:2])
        way = self._ways.get(key)
        if way is None or way.until <= now:
            if len(self._ways) >= limits.RELAY_ROUTES:
                self._ways.clear()
            way = self._ways[key] = self._find(source, local, buffer[:2], now)
        allowed = self._charge(way.sender, length, size, way.added, now)
        return way.carry(way, buffer if allowed == length else buffer[:allowed], size)

    def send_received(
        self, data: bytes, peer: Address, sender: Allocation, now: float
    ) -> list[RelaySend]:
        """Forward the data of a Send indication (RFC 8656, 11.2)."""
        if sender.permitted_until(peer.host) <= now:
            raise NotPermitted("a Send indication without a permission")
        length = len(data)
        size = max(length, 1)
        if not sender.is_virtual:
            self._charge(sender, length, size, _HEADERS_BYTES[peer.family], now)
            return [RelaySend([data], size, peer, sender.relayed)]
        target = self._target(sender, peer, now)
        self._charge(sender, length, size, _added(target, sender.relayed, now), now)
        return self._deliver(data, size, sender.relayed, target, now)

    def _find(self, source: Address, local: Address, number: bytes, now: float) -> _Way:
        sender = self._table.get((source, local), now)
        peer = sender.peer_of(number, now) if sender is not None else None
        if sender is None or peer is None:
            raise NotPermitted("ChannelData on a channel that is not bound")
        until = min(sender.expires_at, sender.channels[peer].expires_at)
        if not sender.is_virtual:
            added = _HEADERS_BYTES[peer.family] - CHANNEL_HEADER_BYTES
            return _Way(sender, peer, sender.relayed, None, added, until, _from_port)
        target = self._target(sender, peer, now)
        until = min(until, target.expires_at, target.permitted_until(sender.relayed.host))
        bound = target.channel_to(sender.relayed, now)
        added = _added(target, sender.relayed, now) - CHANNEL_HEADER_BYTES
        if bound is None:
            return _Way(sender, *target.five_tuple, None, added, until, self._indicate)
        carry = _untouched if bound.number == number else _rewrapped
        until = min(until, bound.expires_at)
        return _Way(sender, *target.five_tuple, bound.number, added, until, carry)

    def _target(self, sender: Allocation, peer: Address, now: float) -> Allocation:
        """The peer's newest allocation that lets the sender in; raises NotPermitted."""
        for target in self._table.at(peer, now):
            if target.permitted_until(sender.relayed.host) > now:
                return target
        raise NotPermitted("data to a peer that has not permitted it, or has no allocation here")

    # From relayed ports -----------------------------------------------------------------------

    def relayed_received(
        self, buffer: bytes, size: int, source: Address, relayed: Address, now: float
    ) -> list[RelaySend]:
        """Hand on what a peer sent to a relayed port (RFC 8656, 11.3): datagrams of one size."""
        for target in self._table.at(relayed, now):
            if target.permitted_until(source.host) > now:
                added = _added(target, source, now)
                allowed = self._charge(target, len(buffer), size, added, now)
                return self._deliver(buffer[:allowed], size, source, target, now)
        raise NotPermitted("a packet to a relayed port from a peer without a permission")

    # To clients -------------------------------------------------------------------------------

    def _deliver(
        self, buffer: bytes, size: int, peer: Address, target: Allocation, now: float
    ) -> list[RelaySend]:
        """Data of `peer` to the client of an allocation, on a channel where there is one."""
        bound = target.channel_to(peer, now)
        if bound is None:
            return self._indications(buffer, size, peer, target.five_tuple)
        return [
            RelaySend(*gathered, target.client, target.local)
            for gathered in wrap(bound.number, buffer, size)
        ]

    def _indicate(self, way: _Way, buffer: bytes, size: int) -> list[RelaySend]:
        data, inner = unwrap(buffer, size)
        client = way.remote, way.local
        return self._indications(data, max(inner, 1), way.sender.relayed, client)

    def _indications(
        self, buffer: bytes, size: int, peer: Address, client: FiveTuple
    ) -> list[RelaySend]:
        """Each datagram in a Data indication (RFC 8656, 11.4)."""
        sends = []
        for at in range(0, len(buffer) or 1, size):
            transaction = self._rng.randbytes(STUN_TRANSACTION_BYTES)
            attributes = (
                (int(Attribute.XOR_PEER_ADDRESS), encode_xor_address(peer, transaction)),
                (int(Attribute.DATA), buffer[at : at + size]),
            )
            message = StunMessage(StunClass.INDICATION, StunMethod.DATA, transaction, attributes)
            datagram = encode_stun(message, fingerprint=False)
            sends.append(RelaySend([datagram], len(datagram), *client))
        return sends

    def _charge(
        self, allocation: Allocation, length: int, size: int, added: int, now: float
    ) -> int:
        """How much of a buffer goes on, at least one datagram: what arrived last is dropped."""
        count = self._meter.take(length, size, added, allocation, now)
        if not count:
            raise RateLimited("more data than this relay forwards")
        allocation.forwarded(count)
        return min(length, count * size)


def _added(target: Allocation, peer: Address, now: float) -> int:
    """How many bytes more than its data a datagram of `peer` has, on its way to a client."""
    framing = _INDICATION_BYTES if target.channel_to(peer, now) is None else CHANNEL_HEADER_BYTES
    return framing + _HEADERS_BYTES[target.client.family]


def _untouched(way: _Way, buffer: bytes, size: int) -> list[RelaySend]:
    if len(buffer) <= size:
        return [RelaySend([buffer], size, way.remote, way.local)]
    return [RelaySend(*one, way.remote, way.local) for one in untouched(buffer, size)]


def _rewrapped(way: _Way, buffer: bytes, size: int) -> list[RelaySend]:
    gathered = rewrap(way.channel or b"", buffer, size)
    return [RelaySend(*one, way.remote, way.local) for one in gathered]


def _from_port(way: _Way, buffer: bytes, size: int) -> list[RelaySend]:
    data, inner = unwrap(buffer, size)
    gathered = untouched(data, max(inner, 1))
    return [RelaySend(*one, way.remote, way.local) for one in gathered]
