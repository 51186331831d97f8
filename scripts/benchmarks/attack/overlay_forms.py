"""Requests of the DHT, as a peer makes them that speaks the protocol by hand."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from protocol import datagrams, limits, records
from protocol.addresses import Address, pack_address
from protocol.codec import encode
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.ice.candidates import CandidateKind
from protocol.identity import Identity, PeerId
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method
from protocol.overlay.registration_proof import make_registration_proof
from protocol.punching.token import PUNCH_TOKEN_BYTES
from protocol.signaling import make_offer, seal_signal
from protocol.turn.grant import decode_grant
from scripts.benchmarks.attack.form import Form
from scripts.benchmarks.attack.turn_forms import TurnAsker, TurnForms
from simulations.attacks.raw_peer import RawPeer
from simulations.internet.internet import Internet

_BOTH = 3
_OLD_OFFERS = 40
_STORED_S = 0.05

_DESCRIBED = Description(
    "abcd",
    "a" * 22,
    bytes(32),
    DtlsRole.ACTPASS,
    tuple(
        IceCandidate(CandidateKind.HOST, Address(f"203.0.113.{number}", 4001))
        for number in range(1, limits.CANDIDATES + 1)
    ),
)


class _Deaf(RawPeer):
    """A peer that reads no answer any more once `listens` is unset."""

    listens = True

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """As asyncio says."""
        if self.listens:
            RawPeer.datagram_received(self, data, addr)


class OverlayAsker:
    """One peer, and the node that it asks. Its requests bear its proof of address."""

    def __init__(self, internet: Internet, victim: Contact, wall: Callable[[], float]) -> None:
        self._internet = internet
        self._victim = victim
        self._wall = wall
        self._rng = random.Random("overlay attacks")
        self.peer = self._new_peer()
        self._callee = self._new_peer()
        self._others: list[RawPeer] = []
        self._full_mod_id = b""
        self._mod_id = self._rng.randbytes(32)
        self._last = b""

    def _new_peer(self) -> _Deaf:
        return _Deaf(Identity(self._rng.randbytes(32)), {})

    async def move_in(self) -> None:
        """Have hosts, proofs of address, a registered callee, and records of sixteen providers."""
        for peer in (self.peer, self._callee):
            await peer.move_in(self._internet)
            await peer.ask(Method.PING, [], self._victim)
        await self._callee.ask(Method.REGISTER, self._registration(self._callee), self._victim)
        for number in range(limits.VALUES_PER_REPLY):
            provider = Identity(self._rng.randbytes(32))
            record = self._provider_record(provider, self._mod_id, number)
            await self.peer.ask(Method.STORE, [record.key, record.raw], self._victim)
        for peer in (self.peer, self._callee):
            peer.listens = False

    async def turn_forms(self) -> list[Form]:
        """Requests to the node as a relay, by clients with fresh credentials."""
        one, other = [await self._turn_asker(peer) for peer in (self.peer, self._callee)]
        return TurnForms(self._victim.peer_id, one, other).forms()

    async def _turn_asker(self, peer: _Deaf) -> tuple[TurnAsker, PeerId]:
        peer.listens = True
        await peer.ask(Method.PING, [], self._victim)
        answer = await peer.ask(Method.CREDENTIALS, [], self._victim)
        peer.listens = False
        assert answer is not None
        peer_id = peer.identity.peer_id

        def send(datagram: bytes) -> None:
            peer.transport.sendto(datagram, self._victim.address)

        return TurnAsker(send, decode_grant(answer.result), peer_id.hex()), peer_id

    async def fill_key(self) -> list[Form]:
        """Have a key with as many values as it holds; what requests for it cost."""
        mod_id = self._rng.randbytes(32)
        self.peer.listens = True
        await self.peer.ask(Method.PING, [], self._victim)
        code, record = Code.OK, self._provider_record(self.peer.identity, mod_id, 1)
        while code == Code.OK:  # until one more is refused
            record = self._provider_record(Identity(self._rng.randbytes(32)), mod_id, 1)
            self.peer.send(Method.STORE, [record.key, record.raw], self._victim)
            await asyncio.sleep(_STORED_S)
            code = Code(self.peer.responses[-1].code)
        self.peer.listens = False
        self._full_mod_id = mod_id
        return [
            Form("store, refused by a full key", self._asks(Method.STORE, record.key, record.raw)),
            Form("store and find_value, a full key", self._store_and_find),
        ]

    def _store_and_find(self, number: int) -> None:
        record = self._provider_record(self.peer.identity, self._full_mod_id, 100 + number)
        self.peer.send(Method.STORE, [record.key, record.raw], self._victim)
        self.peer.send(Method.FIND_VALUE, [record.key, records.PROVIDER, 0, _BOTH], self._victim)

    async def prove(self) -> None:
        """Have a fresh proof of address."""
        self.peer.listens = True
        await self.peer.ask(Method.PING, [], self._victim)
        self.peer.listens = False

    def _provider_record(self, identity: Identity, mod_id: bytes, sequence: int) -> records.Record:
        body = records.ProviderBody(mod_id, complete=True)
        return records.make(
            identity, records.PROVIDER, body, now=self._wall(), sequence=sequence + 1
        )

    def _registration(self, peer: RawPeer, sequence: int = 1) -> list[Any]:
        body = records.PeerBody((peer.address,), 0, (1, 1), 0)
        record = records.make(
            peer.identity, records.PEER, body, now=self._wall(), sequence=sequence
        )
        registrar_id = self._victim.peer_id
        proof = make_registration_proof(peer.identity, registrar_id, self._wall())
        return [record.raw, proof]

    def _asks(self, method: int, *arguments: Any) -> Callable[[int], None]:
        def ask(_number: int) -> None:
            self.peer.send(method, list(arguments), self._victim)

        return ask

    def forms(self) -> list[Form]:
        """Every method, and what is wrong with requests."""
        id_bytes = self._rng.randbytes(limits.ID_BYTES)
        key = records.provider_key(self._mod_id)
        record = self._provider_record(self.peer.identity, self._rng.randbytes(32), 1)
        asks, token = self._asks, self._rng.randbytes(PUNCH_TOKEN_BYTES)
        random_bytes = self._rng.randbytes(limits.DIALBACK_RANDOM_BYTES)
        garbage = self._rng.randbytes(limits.SIGNAL_BYTES)
        return [
            Form("ping", asks(Method.PING)),
            Form("meet", asks(Method.MEET)),
            Form("find_node", asks(Method.FIND_NODE, id_bytes, _BOTH)),
            Form("find_value, nothing there", asks(Method.FIND_VALUE, id_bytes, 2, 0, _BOTH)),
            Form("find_value, 16 records", asks(Method.FIND_VALUE, key, 2, 0, _BOTH)),
            Form("store, the same record", asks(Method.STORE, record.key, record.raw)),
            Form("store, a new record", self._store_new),
            Form("store, a bad signature", asks(Method.STORE, record.key, _bad(record.raw))),
            Form("register, the same proof", asks(Method.REGISTER, *self._registration(self.peer))),
            Form("keepalive", asks(Method.KEEPALIVE)),
            Form("signal, callee unknown", asks(Method.SIGNAL, id_bytes, garbage, 100)),
            Form(
                "signal, to a silent callee", self._signal, count=100, pause_s=2.0, to_others=True
            ),
            Form("deliver, garbage", self._deliver_garbage, count=100, pause_s=0.05),
            Form("deliver, the same offer", asks(Method.DELIVER, self._offer(self.peer), 0)),
            Form(
                "deliver, an old offer", self._deliver_sealed_anew, count=_OLD_OFFERS, pause_s=0.05
            ),
            Form("deliver, a new offer", self._deliver_new, count=20, pause_s=20.0, to_others=True),
            Form(
                "dialback",
                asks(Method.DIALBACK, random_bytes, b""),
                count=60,
                pause_s=1.5,
                to_others=True,
            ),
            Form("dial", self._dial, count=60, pause_s=3.5, to_others=True),
            Form("credentials", asks(Method.CREDENTIALS)),
            Form("witness", asks(Method.WITNESS, token)),
            Form("leave", asks(Method.LEAVE)),
            Form("witnessed", asks(Method.WITNESSED, token)),
            Form("unknown method", asks(77)),
            Form("malformed arguments", asks(Method.FIND_NODE, 1, 2, 3)),
            Form("replayed request", self._replay),
            Form("not authentic", self._not_authentic),
            Form("hello", self._hello, rate_most=limits.HELLOS_PER_SECOND, pause_s=0.02),
            Form(
                "key never seen",
                self._unknown_key,
                prepare=self._make_other,
                pause_s=0.02,
                rate_most=limits.UNKNOWN_KEYS_PER_SECOND,
            ),
            Form(
                "key never seen, not authentic",
                self._unknown_garbage,
                pause_s=0.02,
                prepare=self._make_other,
                rate_most=limits.UNKNOWN_KEYS_PER_SECOND,
            ),
            Form(
                "known key, never authentic",
                self._same_garbage,
                pause_s=0.02,
                prepare=self._make_one_other,
                rate_most=limits.UNKNOWN_KEYS_PER_SECOND,
            ),
        ]

    def _store_new(self, number: int) -> None:
        record = self._provider_record(self.peer.identity, self._mod_id, 100 + number)
        self.peer.send(Method.STORE, [record.key, record.raw], self._victim)

    def _offer(self, peer: RawPeer) -> bytes:
        key, peer_id = self._victim.public_key, self._victim.peer_id
        _, sealed = make_offer(
            peer.identity, key, peer_id, _DESCRIBED, now=self._wall(), rng=self._rng
        )
        return sealed

    def _signal(self, _number: int) -> None:
        arguments = [self._callee.identity.peer_id, self._offer(self.peer), 0]
        self.peer.send(Method.SIGNAL, arguments, self._victim)

    def _deliver_garbage(self, _number: int) -> None:
        sealed = self._rng.randbytes(limits.SIGNAL_BYTES)
        self.peer.send(Method.DELIVER, [sealed, 0], self._victim)

    def _deliver_new(self, _number: int) -> None:
        self.peer.send(Method.DELIVER, [self._offer(self.peer), 0], self._victim)

    def _deliver_sealed_anew(self, _number: int) -> None:
        fields = [1, self.peer.identity.public_key, self._victim.peer_id, bytes(16), 0]
        sealed = seal_signal(encode(fields), self._victim.public_key, self._rng)
        self.peer.send(Method.DELIVER, [sealed, 0], self._victim)

    def _dial(self, number: int) -> None:
        target = Address(f"8.{number}.8.8", 4001)
        arguments = [bytes(limits.DIALBACK_RANDOM_BYTES), pack_address(target)]
        self.peer.send(Method.DIAL, arguments, self._victim)

    def _replay(self, number: int) -> None:
        if not number:
            self._last = self.peer.send(Method.PING, [], self._victim)
        else:
            self.peer.transport.sendto(self._last, self._victim.address)

    def _not_authentic(self, number: int) -> None:
        if not number:
            self._last = _bad(self.peer.send(Method.PING, [], self._victim))
        self.peer.transport.sendto(self._last, self._victim.address)

    def _hello(self, _number: int) -> None:
        self.send(datagrams.hello(self._rng.randbytes(datagrams.HELLO_RANDOM_BYTES)))

    def send(self, datagram: bytes) -> None:
        """A datagram of any kind to the node."""
        self.peer.transport.sendto(datagram, self._victim.address)

    def _make_other(self, _number: int) -> None:
        self._others = [self._new_peer()]

    def _make_one_other(self, number: int) -> None:
        if not number:
            self._make_other(number)
            self._last = self._request_of(self._others[0])

    def _request_of(self, other: RawPeer) -> bytes:
        other.transport = _Nowhere()  # type: ignore[assignment]
        return other.send(Method.PING, [], self._victim)

    def _unknown_key(self, _number: int) -> None:
        self.send(self._request_of(self._others[0]))

    def _unknown_garbage(self, _number: int) -> None:
        self.send(_bad(self._request_of(self._others[0])))

    def _same_garbage(self, _number: int) -> None:
        self.send(_bad(self._last))


class _Nowhere:
    """Takes datagrams that are sent by another way."""

    def sendto(self, _datagram: bytes, _to: Any = None) -> None:
        """Drop it."""


def _bad(data: bytes) -> bytes:
    """The same with another last byte."""
    return data[:-1] + bytes([data[-1] ^ 1])
