"""Hellos: asking a bare address for its public key, and answering with ours."""

import asyncio
from collections.abc import Callable

from protocol import datagrams, limits
from protocol.addresses import Address
from protocol.errors import Malformed, TimedOut, UnexpectedReply
from protocol.identity import Identity, checked_peer_id
from protocol.overlay.contacts import Contact
from protocol.overlay.shares import holders_of
from protocol.randomness import Random
from protocol.rate_limit import SharedRateLimit


class Hellos:
    """Asks and answers hellos; `send` takes a datagram and its address."""

    def __init__(
        self,
        identity: Identity,
        rng: Random,
        *,
        puzzle_bits: int,
        send: Callable[[bytes, Address], None],
    ) -> None:
        self._identity = identity
        self._rng = rng
        self._puzzle_bits = puzzle_bits
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._asked: dict[bytes, tuple[Address, asyncio.Future[bytes]]] = {}
        self._answers = SharedRateLimit(limits.HELLOS_PER_SECOND, 1.0, limits.NETWORK_PART)

    def close(self) -> None:
        """Stop waiting for answers."""
        for _, answered in self._asked.values():
            answered.cancel()

    async def ask(self, address: Address, timeout_s: float) -> Contact:
        """The contact at `address`, by its signed reply to a hello; raises TimedOut."""
        random = self._rng.randbytes(datagrams.HELLO_RANDOM_BYTES)
        answered: asyncio.Future[bytes] = self._loop.create_future()
        self._asked[random] = (address, answered)
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    self._send(datagrams.hello(random), address)
                    done, _ = await asyncio.wait({answered}, timeout=limits.HELLO_REPEAT_S)
                    if done:
                        return Contact.at(answered.result(), address)
        except TimeoutError:
            raise TimedOut(f"no answer from {address} within {timeout_s:g} s") from None
        finally:
            del self._asked[random]

    def receive_hello(self, datagram: bytes, address: Address) -> None:
        """Answer a hello. Each reply costs a signature, hence the bound; raises RateLimited."""
        self._answers.charge("hello", holders_of(address.host)[-1], self._loop.time())
        self._send(datagrams.answer_hello(self._identity, datagram), address)

    def receive_reply(self, datagram: bytes, address: Address) -> None:
        """Take the reply to a hello of ours; raises RemoteError for any other."""
        if len(datagram) != datagrams.HELLO_BYTES:
            raise Malformed(f"a hello reply of {len(datagram)} bytes")
        asked, answered = self._asked.get(datagrams.hello_random(datagram), (None, None))
        if answered is None or asked != address or answered.done():
            raise UnexpectedReply("a hello reply that matches no hello")
        public_key = datagrams.read_hello_reply(datagram)
        checked_peer_id(public_key, self._puzzle_bits)
        answered.set_result(public_key)
