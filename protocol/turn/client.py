"""The client of one allocation (RFC 8656), as a state machine.

With the nonce, realm and credentials of a `RelayGrant` an allocation takes one round trip; without
a nonce the relay is asked for one first. Each peer gets a channel, which installs the permission as
well; until the relay has confirmed it data goes in Send indications. What the allocation lives from
is renewed long before it expires, and a request that meets a stale nonce is sent again with the
fresh one, so data never waits for either.
"""

from collections.abc import Callable, Iterator
from typing import Final

from protocol import limits
from protocol.addresses import Address
from protocol.errors import Malformed, NotPermitted, UnexpectedReply
from protocol.randomness import Random
from protocol.stun.attributes import (
    Attribute,
    ErrorCode,
    encode_channel,
    encode_family,
    encode_text,
    encode_transport,
    encode_u32,
    encode_xor_address,
)
from protocol.stun.message import (
    STUN_TRANSACTION_BYTES,
    StunClass,
    StunMessage,
    StunMethod,
    decode_stun,
    encode_stun,
    has_integrity,
    long_term_key,
)
from protocol.turn.channel_data import Gathered
from protocol.turn.client_peers import ClientPeers, RelayedArrival
from protocol.turn.events import (
    Allocated,
    AllocationLost,
    CredentialsAging,
    PeerRefused,
    TurnEvent,
    TurnState,
)
from protocol.turn.grant import RelayGrant
from protocol.turn.request import Fields, TurnRequest

_UDP: Final = 17
_TRIES: Final = 6
_CREDENTIALS_RENEWED: Final = 0.4
"""The part of their life after which credentials are renewed: before their nonce may be stale."""

_CREDENTIALS_AGAIN_S: Final = 120.0


class TurnClient:
    """One allocation at a relay.

    `family`: of the relayed address, 6 for a virtual one. Transaction ids begin with
    `transaction_prefix` (4 bytes). `wait_s`: how long the first response may take. `now` is
    monotonic seconds. After each call `take_datagrams` has what goes to the relay, `take_events`
    what happened, and `wake_at` when `wake` is due.
    """

    def __init__(
        self,
        grant: RelayGrant,
        *,
        transaction_prefix: bytes,
        rng: Random,
        now: float,
        family: int = 6,
        wait_s: float = limits.TIMEOUT_MAX_S,
    ) -> None:
        self._prefix = transaction_prefix
        self._rng = rng
        self._family = family
        self._wait_s = wait_s
        self._requests: dict[bytes, TurnRequest] = {}
        self._peers = ClientPeers(self._new_transaction)
        self._datagrams: list[bytes] = []
        self._events: list[TurnEvent] = []
        self._allocation: Allocated | None = None
        self._is_cleared = False
        self._refresh_at: float | None = None
        self.state = TurnState.ALLOCATING
        self.renew(grant, now)
        self._allocate(now)

    def take_datagrams(self) -> list[bytes]:
        """What to send to the relay now."""
        taken, self._datagrams = self._datagrams, []
        return taken

    def take_events(self) -> list[TurnEvent]:
        """What happened since the last call."""
        taken, self._events = self._events, []
        return taken

    @property
    def wake_at(self) -> float | None:
        """When `wake` is due next; None after the end."""
        if self.state is TurnState.ENDED:
            return None
        due = [request.due_at for request in self._requests.values()]
        due += [at for at in (self._refresh_at, self._credentials_at) if at is not None]
        return min(due + self._peers.times())

    @property
    def peers(self) -> list[Address]:
        """The peers that are permitted, or about to be."""
        return list(self._peers)

    # What the user wants --------------------------------------------------------------------

    def permit(self, peer: Address, now: float) -> None:
        """Let a peer in and give it a channel; raises RelayFailed beyond RELAY_CHANNELS."""
        if peer in self._peers or self.state is TurnState.ENDED:
            return
        self._peers.add(peer)
        if self._allocation is not None:
            self._bind(peer, now)

    def forget(self, peer: Address) -> None:
        """Renew a peer's channel no more, and take nothing from it."""
        self._peers.forget(peer)

    def renew(self, grant: RelayGrant, now: float) -> None:
        """Use fresh credentials of the same peer from now on."""
        self._username, self._realm, self._nonce = grant.username, grant.realm, grant.nonce
        self._password = grant.password
        self._key = long_term_key(grant.username, grant.realm, grant.password)
        self._credentials_at = now + grant.lifetime_s * _CREDENTIALS_RENEWED

    def ask_now(self, now: float) -> None:
        """Ask now whether the relay is there and sees us where it did, and not when that is due.

        By a request with credentials, since others can use up what answers without them there are.
        """
        if self.state is TurnState.ALLOCATED and self._refresh_at is not None:
            self._refresh_at = None
            lifetime = ((int(Attribute.LIFETIME), encode_u32(limits.RELAY_ALLOCATION_S)),)
            self._begin(StunMethod.REFRESH, lambda _: lifetime, now)

    @property
    def is_unanswered(self) -> bool:
        """Whether a request had to be repeated, and still has no answer."""
        return any(request.tries_left < _TRIES - 1 for request in self._requests.values())

    def release(self, now: float) -> None:
        """End the allocation. The relay is told once; if that is lost it expires by itself."""
        if self._allocation is not None and self.state is TurnState.ALLOCATED:
            lifetime = ((int(Attribute.LIFETIME), encode_u32(0)),)
            self._begin(StunMethod.REFRESH, lambda _: lifetime, now)
        self._end()

    # Data -----------------------------------------------------------------------------------

    def outgoing(self, buffer: bytes, size: int, peer: Address) -> Iterator[Gathered]:
        """Datagrams to a peer, as they go to the relay; raises NotPermitted for an unknown one."""
        if self._allocation is None:
            raise NotPermitted("there is no allocation yet")
        return self._peers.outgoing(buffer, size, peer)

    def channel_received(self, buffer: bytes, size: int) -> list[RelayedArrival]:
        """Take ChannelData of the relay; raises NotPermitted, Malformed."""
        return self._peers.channel_received(buffer, size)

    # What the relay sends -------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> list[RelayedArrival]:
        """Take a STUN message of the relay; gives what a Data indication carries.

        Raises Malformed, NotPermitted, UnexpectedReply.
        """
        message = decode_stun(data)
        if message.kind == StunClass.INDICATION:
            return self._peers.indicated(message)
        if self.state is TurnState.ENDED:
            return []
        request = self._requests.get(message.transaction)
        if request is None or request.method != message.method:
            raise UnexpectedReply("a response of a relay that matches no request")
        if message.kind == StunClass.SUCCESS:
            if not has_integrity(data, message, request.key):
                raise UnexpectedReply("a response of a relay without integrity")
            del self._requests[message.transaction]
            _SUCCEEDED[request.method](self, message, request, now)
            return []
        error = message.error()
        if error is None:
            raise Malformed("an error response without ERROR-CODE")
        del self._requests[message.transaction]
        self._failed(message, request, error[0], now)
        return []

    # Responses ------------------------------------------------------------------------------

    def _allocated(self, message: StunMessage, _: TurnRequest, now: float) -> None:
        relayed = message.address(Attribute.XOR_RELAYED_ADDRESS)
        mapped = message.address(Attribute.XOR_MAPPED_ADDRESS)
        lifetime_s = message.number(Attribute.LIFETIME)
        if relayed is None or mapped is None or not lifetime_s:
            self._lose("the relay's answer is incomplete")
            return
        self.state = TurnState.ALLOCATED
        self._allocation = Allocated(relayed, mapped)
        self._events.append(self._allocation)
        self._refresh_at = now + limits.RELAY_KEEPALIVE_S
        for peer in self._peers:
            self._bind(peer, now)

    def _refreshed(self, message: StunMessage, _: TurnRequest, now: float) -> None:
        if self.state is TurnState.ENDED:
            return
        if self._allocation is None:  # an older allocation of ours is gone: now ours can be made
            self._allocate(now)
            return
        self._refresh_at = now + limits.RELAY_KEEPALIVE_S

    def _channel_bound(self, _message: StunMessage, request: TurnRequest, now: float) -> None:
        if request.peer is not None:
            self._peers.bound(request.peer, now)

    def _failed(self, message: StunMessage, request: TurnRequest, code: int, now: float) -> None:
        """An error response: with a fresh nonce the request is sent again (RFC 8489, 9.2.5)."""
        if code in {ErrorCode.UNAUTHENTICATED, ErrorCode.STALE_NONCE}:
            nonce, realm = message.text(Attribute.NONCE), message.text(Attribute.REALM)
            if nonce and nonce != request.nonce and request.may_be_sent_again():
                self._nonce, self._realm = nonce, realm or self._realm
                self._key = long_term_key(self._username, self._realm, self._password)
                self._send(request, now)
                return
        if request.method == StunMethod.ALLOCATE:
            self._allocate_failed(code, now)
        elif request.method == StunMethod.REFRESH and self._allocation is None:
            self._allocate(now)  # what was to be ended is gone already
        elif request.peer is not None and code != ErrorCode.ALLOCATION_MISMATCH:
            self.forget(request.peer)
            self._events.append(PeerRefused(request.peer, code))
        elif self.state is not TurnState.ENDED:
            self._lose(f"the relay answered {request.method.name} with error {code}")

    def _allocate_failed(self, code: int, now: float) -> None:
        """After 437 what an earlier run of this node allocated from this port is ended first."""
        if code == ErrorCode.ALLOCATION_MISMATCH and not self._is_cleared:
            self._is_cleared = True
            lifetime = ((int(Attribute.LIFETIME), encode_u32(0)),)
            self._begin(StunMethod.REFRESH, lambda _: lifetime, now)
        else:
            self._lose(f"the relay answered with error {code}")

    # Time -----------------------------------------------------------------------------------

    def wake(self, now: float) -> None:
        """Repeat what has no response, and renew what is due."""
        for request in [one for one in self._requests.values() if one.due_at <= now]:
            if request.tries_left > 0:
                request.sent(now)
                self._datagrams.append(request.datagram)
            else:
                self._lose("the relay does not answer")
        if self.state is not TurnState.ALLOCATED:
            self._age(now)
            return
        if self._refresh_at is not None and self._refresh_at <= now:
            self.ask_now(now)
        for peer in self._peers.due(now):
            self._bind(peer, now)
        self._age(now)

    def _age(self, now: float) -> None:
        if self.state is not TurnState.ENDED and self._credentials_at <= now:
            self._credentials_at = now + _CREDENTIALS_AGAIN_S
            self._events.append(CredentialsAging())

    # Requests -------------------------------------------------------------------------------

    def _allocate(self, now: float) -> None:
        fields = (
            (int(Attribute.REQUESTED_TRANSPORT), encode_transport(_UDP)),
            (int(Attribute.LIFETIME), encode_u32(limits.RELAY_ALLOCATION_S)),
            (int(Attribute.REQUESTED_ADDRESS_FAMILY), encode_family(self._family)),
        )
        self._begin(StunMethod.ALLOCATE, lambda _: fields, now)

    def _bind(self, peer: Address, now: float) -> None:
        relayed = self._allocation.relayed if self._allocation is not None else peer
        number = int.from_bytes(self._peers.begin_binding(peer, relayed))
        channel = (int(Attribute.CHANNEL_NUMBER), encode_channel(number))

        def fields(transaction: bytes) -> tuple[tuple[int, bytes], ...]:
            value = encode_xor_address(peer, transaction)
            return channel, (int(Attribute.XOR_PEER_ADDRESS), value)

        self._begin(StunMethod.CHANNEL_BIND, fields, now, peer=peer)

    def _begin(
        self,
        method: StunMethod,
        fields: Fields,
        now: float,
        *,
        peer: Address | None = None,
    ) -> None:
        request = TurnRequest(method, fields, self._wait_s, _TRIES, peer)
        self._send(request, now)

    def _send(self, request: TurnRequest, now: float) -> None:
        """Send a request under a new transaction id, with what credentials there are."""
        transaction = self._new_transaction()
        attributes = request.fields(transaction)
        key = b""
        if self._nonce:
            attributes += (
                (int(Attribute.USERNAME), encode_text(self._username)),
                (int(Attribute.REALM), encode_text(self._realm)),
                (int(Attribute.NONCE), encode_text(self._nonce)),
            )
            key = self._key
        message = StunMessage(StunClass.REQUEST, request.method, transaction, attributes)
        datagram = encode_stun(message, key=key or None, fingerprint=False)
        request.sent_as(transaction, datagram, self._nonce, key, now)
        self._requests[transaction] = request
        self._datagrams.append(request.datagram)

    def _new_transaction(self) -> bytes:
        return self._prefix + self._rng.randbytes(STUN_TRANSACTION_BYTES - len(self._prefix))

    # The end --------------------------------------------------------------------------------

    def _lose(self, reason: str) -> None:
        if self.state is not TurnState.ENDED:
            self._end()
            self._events.append(AllocationLost(reason))

    def _end(self) -> None:
        self.state = TurnState.ENDED
        self._requests.clear()


_SUCCEEDED: dict[StunMethod, Callable[[TurnClient, StunMessage, TurnRequest, float], None]] = {
    StunMethod.ALLOCATE: TurnClient._allocated,
    StunMethod.REFRESH: TurnClient._refreshed,
    StunMethod.CHANNEL_BIND: TurnClient._channel_bound,
}
"""What a success response means, by its method."""
