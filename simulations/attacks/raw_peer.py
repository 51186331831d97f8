"""A peer that speaks the overlay's protocol byte for byte, within its rules or not.

Tests and the fuzzer make attackers of it: it seals and sends any body that they give it, without
any code of the product's node.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, cast

from protocol import datagrams, records
from protocol.addresses import Address
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import (
    Code,
    Method,
    Request,
    Response,
    decode_body,
    encode_pong,
    encode_request,
    encode_response,
)
from protocol.overlay.registration_proof import make_registration_proof
from simulations.internet.host import Host
from simulations.internet.internet import Internet
from simulations.libraries.ciphers import RememberedAgreements
from simulations.residents.world import PORT
from simulations.runtime.loop import VirtualLoop

Responder = Callable[[Request], tuple[Code, list[Any]] | list[Any] | None]
"""Gives what a request gets: a result, a code with one, or silence."""

_WAIT_S = 1.0
_CROWD_PORT = 20_000


def pong(_request: Request) -> list[Any]:
    """What an honest node whose clock is right answers to PING and MEET."""
    return encode_pong(_wall_time())


def _wall_time() -> float:
    loop = asyncio.get_running_loop()
    return loop.wall_time() if isinstance(loop, VirtualLoop) else time.time()


class RawPeer(asyncio.DatagramProtocol):
    """One socket and one identity. `answers` tells what each method gets; others get silence.

    `token` is the last one that it was given, `gives_token` what its responses bear, `counter` that
    of its last request.
    """

    def __init__(self, identity: Identity, answers: dict[Method, Responder]) -> None:
        self.identity = identity
        self.answers = answers
        self.requests: list[Request] = []
        self.responses: list[Response] = []
        self.token = self.gives_token = b""
        self.sent_bytes = self.received_bytes = 0
        self.flags = 0
        self.counter = 0
        self._cipher = RememberedAgreements()
        self.transport: asyncio.DatagramTransport
        self.host: Host

    async def move_in(self, internet: Internet, *, v6: bool = False) -> None:
        """Get a host of its own, and listen there."""
        await self.listen(internet.add_host(v4=not v6, v6=v6), PORT)

    async def listen(self, host: Host, port: int, at: str | None = None) -> None:
        """Listen at a port of a host, where other peers may be: at its first address, or `at`."""
        loop = asyncio.get_running_loop()
        self.host = host
        with host.running():
            where = (at or host.addresses[0], port)
            await loop.create_datagram_endpoint(lambda: self, local_addr=where)
        await asyncio.sleep(0)

    @property
    def address(self) -> Address:
        """Where it is."""
        return Address(*self.transport.get_extra_info("sockname")[:2])

    @property
    def contact(self) -> Contact:
        """The contact under which a node knows it."""
        return Contact.at(self.identity.public_key, self.address)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio says."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Take a datagram of an honest node: keep a response, answer a request."""
        self.received_bytes += len(data)
        if data[0] != self._cipher.first_byte:
            return
        public_key = datagrams.sender_of(data)
        keys = self._cipher.keys(self.identity, public_key)
        message = decode_body(datagrams.unseal(self._cipher, keys.incoming, data))
        if isinstance(message, Response):
            self.responses.append(message)
            self.token = message.token or self.token
            return
        self.requests.append(message)
        make_answer = self.answers.get(Method(message.method))
        answer = make_answer(message) if make_answer is not None else None
        if answer is not None:
            self.answer(message, answer, public_key, addr)

    def answer(
        self,
        request: Request,
        answer: tuple[Code, list[Any]] | list[Any],
        public_key: bytes,
        addr: tuple[Any, ...],
    ) -> None:
        """Answer a request of a key with anything, to anywhere."""
        code, result = answer if isinstance(answer, tuple) else (Code.OK, answer)
        body = encode_response(
            request.transaction,
            code,
            token=self.gives_token,
            observed=Address(*addr[:2]),
            result=result,
        )
        self.transport.sendto(self.sealed(body, public_key), addr)

    def send(
        self,
        method: int,
        arguments: list[Any],
        to: Contact,
        *,
        epoch: bytes = b"epoch..1",
        counter: int | None = None,
    ) -> bytes:
        """One request; returns its datagram."""
        self.counter += 1
        body = encode_request(
            self.counter.to_bytes(8),
            cast("Method", method),
            epoch=epoch,
            counter=self.counter if counter is None else counter,
            token=self.token,
            flags=self.flags,
            arguments=arguments,
        )
        datagram = self.sealed(body, to.public_key)
        self.sent_bytes += len(datagram)
        self.transport.sendto(datagram, to.address)
        return datagram

    async def ask(self, method: int, arguments: list[Any], to: Contact) -> Response | None:
        """One request and what came back within a second."""
        before = len(self.responses)
        self.send(method, arguments, to)
        await asyncio.sleep(_WAIT_S)
        return self.responses[-1] if len(self.responses) > before else None

    async def register(
        self, registrar: Contact, *, addresses: tuple[Address, ...] = (), sequence: int = 1
    ) -> int | None:
        """Register as an honest node does, with a record of these addresses; the answer's code."""
        now = _wall_time()
        body = records.PeerBody(addresses, 0, (1, 1), 0)
        record = records.make(self.identity, records.PEER, body, now=now, sequence=sequence).raw
        proof = make_registration_proof(self.identity, registrar.peer_id, now)
        response = await self.ask(Method.REGISTER, [record, proof], registrar)
        return None if response is None else response.code

    def sealed(self, body: bytes, public_key: bytes) -> bytes:
        """A body in the envelope of the protocol."""
        keys = self._cipher.keys(self.identity, public_key)
        own_key = self.identity.public_key
        return datagrams.seal(self._cipher, own_key, keys.outgoing, bytes(24), body)


async def peers_at(host: Host, identities: Iterable[Identity]) -> list[RawPeer]:
    """Peers that answer nothing, all at one host, each at a port of its own."""
    peers = [RawPeer(identity, {}) for identity in identities]
    for number, peer in enumerate(peers):
        await peer.listen(host, _CROWD_PORT + number)
    return peers
