"""Requests to a node as a relay: each form that is granted, and the refusal of the same form."""

import random
from collections.abc import Callable

from protocol import limits
from protocol.addresses import Address
from protocol.identity import PeerId
from protocol.stun.attributes import (
    Attribute,
    encode_channel,
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
    encode_stun,
    long_term_key,
)
from protocol.turn.grant import RelayGrant
from protocol.turn.virtual import relayed_address
from scripts.benchmarks.attack.form import Form

_UDP = 17
_OUTSIDE = Address("9.9.9.9", 4001)
_CHANNEL = 0x4001
_UNBOUND = 0x4F00
_DATA = bytes(1000)
_PACED_S = 0.05
_BURST = 1000

_PEERS = limits.STUN_ATTRIBUTES - 5
"""Of one request, beside user name, realm, nonce, MAC and fingerprint."""


class TurnAsker:
    """A client of a relay with `grant`; `send` takes its datagrams."""

    def __init__(self, send: Callable[[bytes], None], grant: RelayGrant, seed: str) -> None:
        self._send = send
        self._grant = grant
        self._rng = random.Random(seed)
        self._key = long_term_key(grant.username, grant.realm, grant.password)

    def allocate(self, _number: int = 0) -> None:
        """Ask for an allocation."""
        self._ask(StunMethod.ALLOCATE, ((Attribute.REQUESTED_TRANSPORT, encode_transport(_UDP)),))

    def allocate_wrongly(self, _number: int = 0) -> None:
        """The same with a wrong password."""
        field = (Attribute.REQUESTED_TRANSPORT, encode_transport(_UDP))
        self._ask(StunMethod.ALLOCATE, (field,), key=b"w" * 16)

    def allocate_unknown(self, _number: int = 0) -> None:
        """The same without credentials."""
        fields = ((int(Attribute.REQUESTED_TRANSPORT), encode_transport(_UDP)),)
        id_ = self._transaction()
        self._send(encode_stun(StunMessage(StunClass.REQUEST, StunMethod.ALLOCATE, id_, fields)))

    def refresh(self, _number: int = 0) -> None:
        """Renew the allocation."""
        self._ask(StunMethod.REFRESH)

    def release(self, _number: int = 0) -> None:
        """End the allocation."""
        self._ask(StunMethod.REFRESH, ((Attribute.LIFETIME, encode_u32(0)),))

    def permit(self, *peers: Address) -> None:
        """Ask for permissions."""
        self._ask(StunMethod.CREATE_PERMISSION, peers=peers)

    def bind(self, peer: Address) -> None:
        """Ask for a channel."""
        number = (Attribute.CHANNEL_NUMBER, encode_channel(_CHANNEL))
        self._ask(StunMethod.CHANNEL_BIND, (number,), peers=(peer,))

    def indicate(self, peer: Address) -> None:
        """Send data to a peer."""
        id_ = self._transaction()
        to = (int(Attribute.XOR_PEER_ADDRESS), encode_xor_address(peer, id_))
        fields = (to, (int(Attribute.DATA), _DATA))
        message = StunMessage(StunClass.INDICATION, StunMethod.SEND, id_, fields)
        self._send(encode_stun(message, fingerprint=False))

    def carry(self, number: int = _CHANNEL) -> None:
        """Send data on a channel."""
        self._send(number.to_bytes(2) + len(_DATA).to_bytes(2) + _DATA)

    def ask_as(self, user: str, realm: str, nonce: str) -> None:
        """Ask for an allocation with any texts as credentials."""
        texts = (user, realm, nonce)
        self._ask(StunMethod.ALLOCATE, texts=texts, key=b"w" * 16)

    def _transaction(self) -> bytes:
        return self._rng.randbytes(STUN_TRANSACTION_BYTES)

    def _ask(
        self,
        method: StunMethod,
        fields: tuple[tuple[int, bytes], ...] = (),
        *,
        peers: tuple[Address, ...] = (),
        key: bytes | None = None,
        texts: tuple[str, str, str] | None = None,
    ) -> None:
        id_ = self._transaction()
        grant = self._grant
        user, realm, nonce = texts or (grant.username, grant.realm, grant.nonce)
        attributes = (
            *((int(kind), value) for kind, value in fields),
            *((int(Attribute.XOR_PEER_ADDRESS), encode_xor_address(one, id_)) for one in peers),
            (int(Attribute.USERNAME), encode_text(user)),
            (int(Attribute.REALM), encode_text(realm)),
            (int(Attribute.NONCE), encode_text(nonce)),
        )
        message = StunMessage(StunClass.REQUEST, method, id_, attributes)
        self._send(encode_stun(message, key=key or self._key))


class TurnForms:
    """`asker` attacks the relay `relay_id`; `other` is the client that it reaches through it."""

    def __init__(
        self,
        relay_id: PeerId,
        asker: tuple[TurnAsker, PeerId],
        other: tuple[TurnAsker, PeerId],
    ) -> None:
        self._asker, own_id = asker
        self._other, other_id = other
        self._own = relayed_address(relay_id, own_id)
        self._peer = relayed_address(relay_id, other_id)
        many = (index.to_bytes(limits.ID_BYTES) for index in range(1, _PEERS + 1))
        self._many = tuple(relayed_address(relay_id, one) for one in many)

    def forms(self) -> list[Form]:
        """In this order: allocations stand from the one that says so."""
        asker, peer = self._asker, self._peer
        unproved_s = 1 / limits.STUN_ANSWERS_PER_SECOND
        return [
            _form("turn allocate, no credentials", asker.allocate_unknown, pause_s=unproved_s),
            _form("turn allocate, a wrong password", asker.allocate_wrongly, pause_s=unproved_s),
            _form(
                "turn allocate, long user, realm and nonce",
                lambda _: asker.ask_as(*("1" * limits.STUN_TEXT_BYTES,) * 3),
                pause_s=unproved_s,
            ),
            _form("turn refresh, no allocation", asker.refresh),
            Form("turn send indication, no allocation", lambda _: asker.indicate(peer)),
            _form("turn allocate and release", self._allocate_and_release),
            _form("turn allocate, one stands", asker.allocate, self._set_up),
            _form("turn refresh", asker.refresh),
            Form(
                "turn refresh, faster than is answered", asker.refresh, count=_BURST, pause_s=1e-3
            ),
            _form("turn create permission", lambda _: asker.permit(peer)),
            _form(f"turn create permission, {_PEERS} peers", lambda _: asker.permit(*self._many)),
            _form("turn create permission, no client", lambda _: asker.permit(_OUTSIDE)),
            Form(
                "turn send indication",
                lambda _: asker.indicate(peer),
                pause_s=0.004,
                to_others=True,
            ),
            Form("turn send indication, no permission", lambda _: asker.indicate(self._many[0])),
            Form("turn send indication, no client", lambda _: asker.indicate(_OUTSIDE)),
            _form("turn channel bind", lambda _: asker.bind(peer)),
            _form("turn channel bind, no client", lambda _: asker.bind(_OUTSIDE)),
            Form(
                "channel data", lambda _: asker.carry(), self._bind, pause_s=0.004, to_others=True
            ),
            Form(
                "channel data, faster than is relayed",
                lambda _: asker.carry(),
                count=_BURST,
                pause_s=1e-4,
                to_others=True,
            ),
            Form("channel data, no channel", lambda _: asker.carry(_UNBOUND)),
        ]

    def _allocate_and_release(self, _number: int) -> None:
        self._asker.allocate()
        self._asker.release()

    def _set_up(self, number: int) -> None:
        """Both have allocations, and the other permits ours."""
        if not number:
            self._asker.allocate()
            self._other.allocate()
            self._other.permit(self._own)

    def _bind(self, number: int) -> None:
        if not number:
            self._other.bind(self._own)


def _form(
    name: str,
    ask: Callable[[int], None],
    prepare: Callable[[int], object] = lambda _: None,
    *,
    pause_s: float = _PACED_S,
) -> Form:
    """As fast as a relay answers."""
    return Form(name, ask, prepare, count=100, pause_s=pause_s)
