"""A relay: STUN Binding for all hosts, and TURN (RFC 8656) for peers with credentials.

The state of a client is its `Allocation`; what a request does to it stands in one table by method.
A request is believed in the order of RFC 8489, 9.2.4: MESSAGE-INTEGRITY, nonce, user name, MAC. The
nonce proves the address, so all that follows may be as long as it is.

Nothing here waits. What has expired is no longer found; a response that was lost is made again from
what is kept. A stale nonce is answered with a fresh one, and an allocation forwards meanwhile.
"""

from collections.abc import Callable, Sequence
from typing import Final

from protocol import limits
from protocol.addresses import Address
from protocol.errors import Malformed, NotPermitted, NotUnicast, RateLimited, RelayRefusal
from protocol.identity import PeerId
from protocol.randomness import Random, sample
from protocol.rate_limit import HostRateLimit
from protocol.stun.attributes import (
    Attribute,
    ErrorCode,
    decode_channel,
    decode_first_byte,
    decode_xor_address,
    decode_xor_host,
    encode_u32,
    encode_xor_address,
)
from protocol.stun.message import StunClass, StunMessage, StunMethod, decode_stun, has_integrity
from protocol.turn import answers
from protocol.turn.allocation import Allocation, FiveTuple
from protocol.turn.answers import Attributes, UnprovedAnswers
from protocol.turn.channel_data import CHANNEL_MAX, CHANNEL_MIN
from protocol.turn.credentials import REALM, Account, CredentialMaker
from protocol.turn.forwarding import Forwarder, RelaySend
from protocol.turn.policy import PeerPolicy
from protocol.turn.table import AllocationTable
from protocol.turn.terms import RelayMeter, RelayQuota, byte_rate
from protocol.turn.virtual import relayed_address

_UDP: Final = 17
_RESERVE: Final = b"\x80"
"""The bit of EVEN-PORT that asks to reserve the next port as well (RFC 8656, 18.5)."""

_FAMILIES: Final = {4: 1, 6: 2}

_UNDERSTOOD: Final = frozenset(
    {
        Attribute.USERNAME,
        Attribute.REALM,
        Attribute.NONCE,
        Attribute.CHANNEL_NUMBER,
        Attribute.LIFETIME,
        Attribute.XOR_PEER_ADDRESS,
        Attribute.DATA,
        Attribute.REQUESTED_ADDRESS_FAMILY,
        Attribute.REQUESTED_TRANSPORT,
        Attribute.EVEN_PORT,
    }
)
"""Neither RESERVATION-TOKEN nor DONT-FRAGMENT: requests with these get a 420."""


class TurnServer:
    """The relay of the peer `own_id`.

    `ports` are bound relayed addresses for foreign clients. `is_our_relay` tells whether we are
    ourselves a client of the relay at an address: two relays have no allocations at each other.
    `now` is monotonic seconds, `wall` seconds since 1970.
    """

    def __init__(
        self,
        own_id: PeerId,
        credentials: CredentialMaker,
        *,
        quota: RelayQuota,
        policy: PeerPolicy,
        ports: Sequence[Address],
        is_our_relay: Callable[[Address], bool],
        rng: Random,
    ) -> None:
        self._own_id = own_id
        self._credentials = credentials
        self._quota = quota
        self._policy = policy
        self._ports = tuple(ports)
        self._is_our_relay = is_our_relay
        self._rng = rng
        self._unproved = UnprovedAnswers()
        self._proved = HostRateLimit(limits.RELAY_REQUESTS_PER_SECOND, limits.RELAY_REQUESTS_BURST)
        self.table = AllocationTable(quota)
        self.meter = RelayMeter(quota)
        self.forwarder = Forwarder(self.table, self.meter, rng)

    @property
    def remembered_sources(self) -> int:
        """Source addresses whose rate of answers or of requests is remembered."""
        return len(self._unproved) + len(self._proved)

    def receive(
        self, data: bytes, source: Address, local: Address, now: float, wall: float
    ) -> list[RelaySend]:
        """Take a STUN message; gives the answer, or what a Send indication forwards.

        Raises Malformed and other RemoteErrors for what is dropped and counted.
        """
        message = decode_stun(data)
        if message.kind == StunClass.INDICATION:
            return self._indicated(message, source, local, now)
        if message.kind != StunClass.REQUEST:
            raise NotPermitted("a response to no request of a server")
        answer = self._answer(data, message, source, local, now, wall)
        return [RelaySend([answer], len(answer), source, local)]

    def _answer(
        self,
        data: bytes,
        message: StunMessage,
        source: Address,
        local: Address,
        now: float,
        wall: float,
    ) -> bytes:
        if message.method == StunMethod.BINDING:
            return self._unproved.checked(_bound(message, source), data, source, now)
        if message.method not in _REQUESTS and message.method != StunMethod.ALLOCATE:
            raise Malformed(f"TURN has no request {message.method.name}")
        try:
            account = self._authenticated(data, message, (source, local), now, wall)
        except RelayRefusal as refusal:
            nonce = self._credentials.nonce(source, now)
            challenge = (
                (int(Attribute.REALM), REALM.encode()),
                (int(Attribute.NONCE), nonce.encode()),
            )
            answer = answers.failure(message, refusal.code, challenge)
            return self._unproved.checked(answer, data, source, now)
        return self._act(message, account, source, local, now)

    def client_gone(self, five_tuple: FiveTuple) -> None:
        """Nothing more comes from this client: end its allocation, or it would count for one that
        is in use, and the same peer be refused another.
        """
        self.table.end(five_tuple)
        self.forwarder.changed()

    # Indications ----------------------------------------------------------------------------

    def _indicated(
        self, message: StunMessage, source: Address, local: Address, now: float
    ) -> list[RelaySend]:
        if message.method == StunMethod.BINDING:  # a client keeps its mapping open
            return []
        if message.method != StunMethod.SEND:
            raise NotPermitted(f"an indication {message.method.name} to a server")
        if message.not_understood(_UNDERSTOOD):
            raise Malformed("a Send indication with attributes of unknown types")
        sender = self.table.get((source, local), now)
        if sender is None:
            raise NotPermitted("a Send indication without an allocation")
        peer = message.address(Attribute.XOR_PEER_ADDRESS)
        data = message.get(Attribute.DATA)
        if peer is None or data is None:
            raise Malformed("a Send indication without a peer or data")
        self._check_peer(sender, peer)
        return self.forwarder.send_received(data, peer, sender, now)

    # Requests -------------------------------------------------------------------------------

    def _authenticated(
        self, data: bytes, message: StunMessage, five_tuple: FiveTuple, now: float, wall: float
    ) -> Account:
        """Whose request it is (RFC 8489, 9.2.4); raises RelayRefusal for the challenge."""
        source, _ = five_tuple
        username, nonce = message.text(Attribute.USERNAME), message.text(Attribute.NONCE)
        if not message.integrity_at or username is None or nonce is None:
            raise RelayRefusal(ErrorCode.UNAUTHENTICATED, "no credentials")
        if not self._credentials.is_fresh(nonce, source, now):
            raise RelayRefusal(ErrorCode.STALE_NONCE, "a nonce that is old or another's")
        found = self.table.get(five_tuple, now)
        if found is None:
            self._proved.charge(source.host, now)
        elif not found.requests.take(now):
            raise RateLimited("more requests for one allocation than are served")
        account = self._credentials.account(username, source, wall)
        if account is None or not has_integrity(data, message, account.key):
            raise RelayRefusal(ErrorCode.UNAUTHENTICATED, "wrong or expired credentials")
        return account

    def _act(
        self, message: StunMessage, account: Account, source: Address, local: Address, now: float
    ) -> bytes:
        unknown = message.not_understood(_UNDERSTOOD)
        if unknown:
            extra = answers.unknown_attributes(unknown)
            return answers.failure(message, ErrorCode.UNKNOWN_ATTRIBUTE, extra, account.key)
        try:
            found = self.table.get((source, local), now)
            if message.method == StunMethod.ALLOCATE:
                attributes = self._allocate(message, account, (source, local), found, now)
            else:
                if found is None:
                    raise RelayRefusal(ErrorCode.ALLOCATION_MISMATCH, "no allocation here")
                if found.owner != account.owner:
                    raise RelayRefusal(ErrorCode.WRONG_CREDENTIALS, "another's allocation")
                attributes = _REQUESTS[message.method](self, message, found, now)
        except (Malformed, RelayRefusal) as error:
            return answers.failure(message, _code_of(error), (), account.key)
        finally:  # what is refused may have ended an idle allocation
            self.forwarder.changed()
        return answers.success(message, attributes, account.key)

    def _allocate(
        self,
        message: StunMessage,
        account: Account,
        five_tuple: FiveTuple,
        found: Allocation | None,
        now: float,
    ) -> Attributes:
        """RFC 8656, 7.2."""
        if found is not None:
            if found.transaction != message.transaction or found.owner != account.owner:
                raise RelayRefusal(ErrorCode.ALLOCATION_MISMATCH, "an allocation stands here")
            return _allocated(message, found, now)  # the response was lost
        transport = message.get(Attribute.REQUESTED_TRANSPORT)
        if transport is None:
            raise RelayRefusal(ErrorCode.BAD_REQUEST, "no REQUESTED-TRANSPORT")
        if decode_first_byte(transport) != _UDP:
            raise RelayRefusal(ErrorCode.UNSUPPORTED_TRANSPORT, "only UDP is relayed")
        source, local = five_tuple
        if self._is_our_relay(source):
            raise RelayRefusal(ErrorCode.FORBIDDEN, "this node is itself a client there")
        if self.meter.is_spent(now):
            raise RelayRefusal(ErrorCode.INSUFFICIENT_CAPACITY, "today's bytes are used up")
        if account.is_peer:
            relayed = relayed_address(self._own_id, account.owner)
        else:
            relayed = self._free_port(message, now)
        networks = self.table.make_room(account, source, now)
        made = Allocation(
            client=source,
            local=local,
            owner=account.owner,
            relayed=relayed,
            is_virtual=account.is_peer,
            transaction=message.transaction,
            made_at=now,
            expires_at=now + _lifetime_s(message),
            rate=byte_rate(self._quota.rate_each),
            networks=networks,
        )
        self.table.add(made)
        return _allocated(message, made, now)

    def _free_port(self, message: StunMessage, now: float) -> Address:
        """A relayed address that is bound and free, drawn at random; raises RelayRefusal."""
        wanted = message.get(Attribute.REQUESTED_ADDRESS_FAMILY)
        number = _FAMILIES[4] if wanted is None else decode_first_byte(wanted)
        fitting = [one for one in self._ports if _FAMILIES[one.family] == number]
        if not fitting:
            raise RelayRefusal(ErrorCode.ADDRESS_FAMILY_NOT_SUPPORTED, "no port of this family")
        even = message.get(Attribute.EVEN_PORT)
        if even is not None and even[:1] >= _RESERVE:
            raise RelayRefusal(ErrorCode.INSUFFICIENT_CAPACITY, "no port is reserved here")
        step = 1 if even is None else 2
        free = [one for one in fitting if not one.port % step and not self.table.is_taken(one, now)]
        if not free:
            raise RelayRefusal(ErrorCode.INSUFFICIENT_CAPACITY, "every relayed port is taken")
        (chosen,) = sample(self._rng, free, 1)
        return chosen

    def _refresh(self, message: StunMessage, found: Allocation, now: float) -> Attributes:
        """RFC 8656, 8.2; a lifetime of 0 ends the allocation."""
        if message.number(Attribute.LIFETIME) == 0:
            self.table.remove(found)
            return ((int(Attribute.LIFETIME), encode_u32(0)),)
        found.renew(now + _lifetime_s(message))
        return ((int(Attribute.LIFETIME), encode_u32(_lifetime_s(message))),)

    def _create_permission(self, message: StunMessage, found: Allocation, now: float) -> Attributes:
        """RFC 8656, 10.2; all of the peers, or none."""
        values = [value for kind, value in message.attributes if kind == Attribute.XOR_PEER_ADDRESS]
        hosts = [decode_xor_host(value, message.transaction) for value in values]
        if not hosts:
            raise RelayRefusal(ErrorCode.BAD_REQUEST, "no peer")
        for host in hosts:
            if found.is_virtual:
                self._policy.check_pair(found.relayed, Address(host, found.relayed.port))
            else:
                _check_family(found, host)
                self._policy.check_host(host)
        for host in hosts:
            found.permit(host, now)
        return ()

    def _channel_bind(self, message: StunMessage, found: Allocation, now: float) -> Attributes:
        """RFC 8656, 12.2."""
        channel = message.get(Attribute.CHANNEL_NUMBER)
        value = message.get(Attribute.XOR_PEER_ADDRESS)
        if channel is None or value is None:
            raise RelayRefusal(ErrorCode.BAD_REQUEST, "no channel or no peer")
        number = decode_channel(channel)
        if not CHANNEL_MIN <= number <= CHANNEL_MAX:
            raise RelayRefusal(ErrorCode.BAD_REQUEST, "not a channel number")
        peer = decode_xor_address(value, message.transaction)
        self._check_peer(found, peer)
        found.bind(number.to_bytes(2), peer, now)
        return ()

    def _check_peer(self, allocation: Allocation, peer: Address) -> None:
        if allocation.is_virtual:
            self._policy.check_pair(allocation.relayed, peer)
        else:
            _check_family(allocation, peer.host)
            self._policy.check_peer(peer)


_REQUESTS: dict[StunMethod, Callable[[TurnServer, StunMessage, Allocation, float], Attributes]] = {
    StunMethod.REFRESH: TurnServer._refresh,
    StunMethod.CREATE_PERMISSION: TurnServer._create_permission,
    StunMethod.CHANNEL_BIND: TurnServer._channel_bind,
}
"""What a request does to the allocation of its sender; ALLOCATE makes it."""


def _bound(message: StunMessage, source: Address) -> bytes:
    """The answer to a Binding request (RFC 8489, 12)."""
    if message.integrity_at or message.get(Attribute.USERNAME) is not None:
        raise NotPermitted("an ICE check for no link of this node")
    unknown = message.not_understood(frozenset())
    if unknown:
        extra = answers.unknown_attributes(unknown)
        return answers.failure(message, ErrorCode.UNKNOWN_ATTRIBUTE, extra)
    return answers.success(message, answers.mapped_address(source, message))


def _allocated(message: StunMessage, allocation: Allocation, now: float) -> Attributes:
    relayed = encode_xor_address(allocation.relayed, message.transaction)
    lifetime_s = max(0, round(allocation.expires_at - now))
    return (
        (int(Attribute.XOR_RELAYED_ADDRESS), relayed),
        (int(Attribute.LIFETIME), encode_u32(lifetime_s)),
        *answers.mapped_address(allocation.client, message),
    )


def _lifetime_s(message: StunMessage) -> int:
    """What is granted of a wanted lifetime (RFC 8656, 7.2 and 8.2): no more than is the default."""
    wanted = message.number(Attribute.LIFETIME)
    return limits.RELAY_ALLOCATION_S if not wanted else min(wanted, limits.RELAY_ALLOCATION_S)


def _check_family(allocation: Allocation, host: str) -> None:
    if Address(host, 1).family != allocation.relayed.family:
        raise RelayRefusal(ErrorCode.PEER_ADDRESS_FAMILY_MISMATCH, "a peer of the other family")


def _code_of(error: Malformed | RelayRefusal) -> int:
    if isinstance(error, RelayRefusal):
        return error.code
    return ErrorCode.FORBIDDEN if isinstance(error, NotUnicast) else ErrorCode.BAD_REQUEST
