"""What a gateway forwards for its streams: DHT datagrams to contacts, and back.

A contact is known to the gateway, or has answered this stream. Any other address is unproved, as
contacts have named it to the client alone: it gets two datagrams a minute from all streams
together, no more bytes than the client sent, until it answers as a node does; and a stream tries
few of them. So a gateway amplifies nothing, reaches no service but nodes, and is of no use for a
search for hosts.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from protocol import limits
from protocol.addresses import (
    Address,
    is_global,
    is_loopback,
    is_plainly_global,
    is_shareable,
    is_translated,
)
from protocol.errors import NotPermitted, RateLimited
from protocol.identity import PeerId
from protocol.rate_limit import RateLimit, SharedRateLimit

DHT: Final = range(0xD0, 0xE0)
"""First bytes of the datagrams of the overlay."""


class GatewayAllowance:
    """How often addresses are sent to by all streams of a gateway.

    Few times before they answer, and then so that the streams leave some of what one host may send.
    """

    def __init__(self) -> None:
        self._sent: OrderedDict[Address, tuple[float, int]] = OrderedDict()
        self._proved = SharedRateLimit(
            limits.STREAM_DATAGRAMS_PER_ADDRESS, 1.0, limits.STREAM_ADDRESS_PART
        )

    def charge_proved(self, address: Address, client: PeerId, now: float) -> None:
        """Count one datagram of a client to an address that answers; raises RateLimited."""
        self._proved.charge(str(address), client, now)

    def charge_unproved(self, address: Address, now: float) -> None:
        """Count one datagram; raises RateLimited."""
        since, count = self._sent.pop(address, (now, 0))
        if now - since >= limits.STREAM_UNPROVED_S:
            since, count = now, 0
        self._sent[address] = since, count + 1
        if len(self._sent) > limits.STREAM_UNPROVED:
            self._sent.popitem(last=False)
        if count >= limits.STREAM_UNPROVED_DATAGRAMS:
            raise RateLimited("an address that has not answered")


def check_scope(address: Address, far_host: str) -> None:
    """Raise NotPermitted for an address that the other end of a stream may not name to this one.

    From the internet nothing private is reached, and from a private network nothing of this machine
    itself. So a gateway forwards to nothing else, and is heard as nothing else.
    """
    host = address.host
    if is_plainly_global(host) or is_loopback(far_host):
        return
    if is_global(far_host) or is_translated(host) or not is_shareable(host):
        raise NotPermitted("a private address, for the other end in another network")


def check_heard(first_bytes: bytes, source: Address, gateway_host: str) -> None:
    """Raise NotPermitted unless a client believes its gateway that this came from `source`."""
    if not all(first in DHT for first in first_bytes):
        raise NotPermitted("a stream forwards what is of the overlay alone")
    check_scope(source, gateway_host)


class StreamForwarding:
    """What one stream may send and get. `knows`: whether an address is a contact of the gateway.

    `own_addresses`: those of the gateway itself, to which a stream has a way of its own.
    """

    def __init__(
        self,
        client: PeerId,
        client_host: str,
        allowance: GatewayAllowance,
        *,
        knows: Callable[[Address], bool],
        own_addresses: frozenset[Address],
    ) -> None:
        self._client = client
        self._client_host = client_host
        self._allowance = allowance
        self._knows = knows
        self._own_addresses = own_addresses
        rate, burst = limits.STREAM_BYTES_PER_SECOND, limits.STREAM_BURST_BYTES
        self._up, self._down = RateLimit(rate, burst), RateLimit(rate, burst)
        tried, at_once = limits.STREAM_TRIED_PER_SECOND, limits.STREAM_TRIED_BURST
        self._tried = RateLimit(tried, at_once)
        self._contacts: OrderedDict[Address, tuple[float, bool]] = OrderedDict()
        """When an address was last sent to, and whether it has answered."""

    def check_outgoing(self, first_byte: int, size: int, address: Address, now: float) -> None:
        """Raise NotPermitted, RateLimited unless this datagram of the client may leave."""
        if first_byte not in DHT:
            raise NotPermitted("a stream forwards what is of the overlay alone")
        check_scope(address, self._client_host)
        if address in self._own_addresses:
            raise NotPermitted("an address of the gateway itself")
        if not self._up.take(now, size):
            raise RateLimited("more bytes than a stream may send")
        _, answered = self._contacts.get(address, (0.0, False))
        if not answered and not self._knows(address):
            if not self._tried.take(now, 1):
                raise RateLimited("more addresses that have not answered than a stream may try")
            self._allowance.charge_unproved(address, now)
        else:
            self._allowance.charge_proved(address, self._client, now)
        self._contacts.pop(address, None)
        self._contacts[address] = now, answered
        if len(self._contacts) > limits.STREAM_CONTACTS:
            self._contacts.popitem(last=False)

    def check_incoming(self, first_byte: int, size: int, address: Address, now: float) -> None:
        """Raise NotPermitted, RateLimited unless this datagram may go to the client."""
        sent_at, _ = self._contacts.get(address, (None, False))
        if first_byte not in DHT or sent_at is None or now - sent_at > limits.STREAM_HEARD_S:
            raise NotPermitted("from an address that the client did not send to")
        if not self._down.take(now, size):
            raise RateLimited("more bytes than a stream may get")
        self._contacts[address] = sent_at, True
