"""A node's pool of links on loopback, whose sealed calls travel without a DHT."""

from collections.abc import Awaitable, Callable

from node.counters import Counters
from node.environment import Environment
from node.links.link import Link
from node.links.path.paths import LinkPaths
from node.links.pool.pool import LinkPool
from node.links.punching.punching import LinkPunching
from node.links.secure.certificate import create
from node.links.settings import LinkSettings
from node.net.endpoint import Endpoint
from protocol import limits
from protocol.addresses import Address
from protocol.codec import encode
from protocol.errors import CallFailed
from protocol.identity import Identity, PeerId, peer_id_of
from protocol.places.usefulness import Usefulness
from protocol.reachability.network_view import NetworkView
from protocol.signaling import (
    AnswerStatus,
    CallResult,
    Describe,
    make_answer,
    make_offer,
    read_answer,
    read_offer,
)
from simulations.residents.no_contacts import NoWitnesses, look_around

FRAME_TYPES = range(1)
FRAME = encode([0, b"a message"])
_NOTHING_KNOWN = NetworkView()

Carry = Callable[[bytes, bytes], Awaitable[bytes]]
"""Brings a sealed offer to the holder of a public key, and its sealed answer back."""


async def carry_nowhere(_key: bytes, _offer: bytes) -> bytes:
    """For a node that only answers, or whose offers need not arrive."""
    raise CallFailed("no offer of this node is carried")


class LocalNode:
    """One socket and one pool. `open` makes it; `on_frame` takes what its links receive."""

    def __init__(self, endpoint: Endpoint, carry: Carry, on_frame: Callable[[Link], None]) -> None:
        self._environment = environment = Environment()
        self._endpoint = endpoint
        self._carry = carry
        self._on_frame = on_frame
        self._keys: dict[PeerId, bytes] = {}
        self.identity = Identity(environment.rng.randbytes(limits.KEY_BYTES))
        settings = LinkSettings()
        self.pool = LinkPool(
            self.identity,
            environment,
            create(environment),
            settings,
            LinkPaths(endpoint, environment, settings),
            LinkPunching(
                endpoint,
                environment,
                lambda: _NOTHING_KNOWN,
                NoWitnesses(),
                Usefulness(),
                searches=True,
            ),
            self._call,
            look_around,
        )
        self.pool.subscribe(self._take)

    @classmethod
    async def open(cls, carry: Carry, on_frame: Callable[[Link], None]) -> "LocalNode":
        """A node on a free port of loopback."""
        endpoint = Endpoint(Counters(), Environment())
        await endpoint.open(Address("127.0.0.1", 0))
        return cls(endpoint, carry, on_frame)

    async def connect(self, key: bytes) -> Link:
        """A link to the node with this public key."""
        peer_id = peer_id_of(key)
        self._keys[peer_id] = key
        return await self.pool.connect(peer_id)

    async def answer(self, sealed: bytes) -> bytes:
        """The sealed answer to a sealed offer."""
        environment = self._environment
        offer = read_offer(self.identity, sealed, now=environment.wall(), puzzle_bits=0)
        answer = await self.pool.answer(offer)
        accepted = AnswerStatus.ACCEPTED
        return make_answer(self.identity, offer, accepted, answer, rng=environment.rng)

    async def _call(self, peer_id: PeerId, describe: Describe) -> CallResult:
        environment, key = self._environment, self._keys.get(peer_id)
        if key is None:  # a link of a peer that has called, and may be gone by now, is to restart
            raise CallFailed("a node that was called has no way to call back here")
        offer, sealed = make_offer(
            self.identity,
            key,
            peer_id,
            describe(()),
            now=environment.wall(),
            rng=environment.rng,
        )
        answered = await self._carry(key, sealed)
        answer = read_answer(self.identity, offer, answered, callee_key=key)
        if answer.description is None:
            raise CallFailed(f"the answer is {answer.status.name}")
        return CallResult(offer.offer_id, key, answer.description, (), 0)

    def _take(self, link: Link) -> None:
        link.register(FRAME_TYPES, lambda _frame: self._on_frame(link))

    async def close(self) -> None:
        """Close every link, and the socket. Raises what no peer explains."""
        await self.pool.close()
        await self._endpoint.close()
        if self.pool.defects:
            raise self.pool.defects[0]
