"""The overlay's protocol: the handler of each request, and the requests of this node.

A `kademlia.protocol.KademliaProtocol` whose datagrams are authenticated, whose requests are
dispatched by a table, and which starts no task for a datagram.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from kademlia.protocol import KademliaProtocol

from node.counters import Counters
from node.environment import Environment
from node.overlay.reachability.dialing import Dialing
from node.overlay.reachability.own_clock import OwnClock
from node.overlay.records.adapters import OverlayNode, RecordStorage
from node.overlay.rpc.incoming import Incoming
from node.overlay.rpc.wire import Wire
from node.overlay.signaling.registrar import Registrar
from node.overlay.table.leaving import Leaving
from node.overlay.table.table_maintenance import TableMaintenance
from node.overlay.table.tables import V4, V6, Tables
from protocol import limits, records
from protocol.addresses import Address
from protocol.codec import ranged, shape, sized
from protocol.errors import BadToken, Malformed, RelayFailed, RemoteError
from protocol.identity import PeerId
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import (
    Code,
    Found,
    Method,
    Response,
    decode_found,
    encode_found,
    encode_pong,
)
from protocol.overlay.registration_proof import check_registration_proof
from protocol.overlay.store.storer import Storer
from protocol.punching.token import PUNCH_TOKEN_BYTES, WitnessBook, encode_hosts
from protocol.records import Record
from protocol.turn.grant import RelayGrant, decode_grant, encode_grant

RequestHandler = Callable[["OverlayProtocol", Incoming], list[Any] | None]

GrantRelaying = Callable[[PeerId, Address], RelayGrant]
"""Credentials as a relay for a peer at the address that it has proved; raises RelayRefusal."""


class OverlayProtocol(KademliaProtocol):
    """Serves other nodes. A handler returns the result, or None where it answers later."""

    def __init__(
        self,
        source_node: OverlayNode,
        storage: RecordStorage,
        ksize: int,
        *,
        wire: Wire,
        tables: Tables,
        maintenance: TableMaintenance,
        leaving: Leaving,
        registrar: Registrar,
        dialing: Dialing,
        environment: Environment,
        counters: Counters,
        puzzle_bits: int,
        grant_relaying: GrantRelaying,
        own_clock: OwnClock,
    ) -> None:
        super().__init__(source_node, storage, ksize)
        self.router = tables
        self.wire = wire
        self.maintenance = maintenance
        self._leaving = leaving
        self.registrar = registrar
        self._dialing = dialing
        self._wall = environment.wall
        self._counters = counters
        self._puzzle_bits = puzzle_bits
        self._witness_book = WitnessBook()
        self._grant_relaying = grant_relaying
        self._own_clock = own_clock
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        """Raise AttributeError: rpcudp's own would turn any unknown name into a remote call."""
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def refuse(self, error: RemoteError) -> None:
        """Count an error of a peer."""
        self._counters.refuse(error)

    # Requests of other nodes --------------------------------------------------------------

    def accept(self, incoming: Incoming) -> None:
        """Answer a request; raises RemoteError for a wrong one."""
        handler = _HANDLERS.get(incoming.request.method)
        if handler is None:
            raise Malformed(f"unknown method {incoming.request.method}")
        if handler in _NEEDS_PROOF and not incoming.proved:
            raise BadToken("this request needs proof of its address")
        if handler is not OverlayProtocol.rpc_leave:
            self.maintenance.asked_by(incoming)
        result = handler(self, incoming)
        if result is not None:
            incoming.answer(result)

    def rpc_ping(self, incoming: Incoming) -> list[Any]:
        """PING []: the protocol version of this node, and what its own clock shows."""
        shape(incoming.request.arguments)
        return encode_pong(self._own_clock.uncorrected())

    def rpc_meet(self, incoming: Incoming) -> list[Any]:
        """MEET []: a PING with padding, so that this node `may_also_send` one back."""
        return self.rpc_ping(incoming)

    def rpc_find_node(self, incoming: Incoming) -> list[Any]:
        """FIND_NODE [target, families]: the contacts nearest to the target."""
        target, families = shape(incoming.request.arguments, bytes, int)
        nearest = self._nearest(incoming, sized(target, limits.ID_BYTES), families)
        return encode_found(
            nearest, [], skip=0, registration_proof=b"", max_bytes=incoming.room_bytes
        )

    def rpc_find_value(self, incoming: Incoming) -> list[Any]:
        """FIND_VALUE [key, kind, skip, families]: records under the key, and contacts."""
        key, kind, skip, families = shape(incoming.request.arguments, bytes, int, int, int)
        ranged(skip, 0, limits.STORE_VALUES_PER_KEY)
        held: list[Record] = self.storage.get((sized(key, limits.ID_BYTES), kind), [])
        return encode_found(
            self._nearest(incoming, key, families),
            [record.raw for record in held],
            skip=skip,
            registration_proof=self.registrar.registration_proof_for(key),
            max_bytes=incoming.room_bytes,
        )

    def rpc_store(self, incoming: Incoming) -> list[Any]:
        """STORE [key, record]: store a record of any publisher under its own key."""
        key, raw = shape(incoming.request.arguments, bytes, bytes)
        self._store(incoming, self._read(raw, key))
        return []

    def rpc_register(self, incoming: Incoming) -> list[Any]:
        """REGISTER [peer record, registration proof]: register the sender, and store its record."""
        raw, proof = shape(incoming.request.arguments, bytes, bytes)
        peer_id = incoming.session.peer_id
        record = self._read(raw, peer_id)
        check_registration_proof(
            proof, peer_id=peer_id, registrar_id=self.source_node.id, now=self._wall()
        )
        self.registrar.register(incoming, proof, self._loop.time())
        self._store(incoming, record)
        return [int(limits.REGISTRATION_S)]

    def rpc_keepalive(self, incoming: Incoming) -> list[Any]:
        """KEEPALIVE []: whether the sender is registered here."""
        shape(incoming.request.arguments)
        return [self.registrar.keepalive(incoming, self._loop.time())]

    def rpc_signal(self, incoming: Incoming) -> None:
        """SIGNAL [callee, sealed offer, round trip]: forward it, answer with the callee's answer.

        The round trip is the caller's to this node, in ms.
        """
        callee_id, sealed, round_trip_ms = shape(incoming.request.arguments, bytes, bytes, int)
        ranged(round_trip_ms, 0, limits.ROUND_TRIP_MS_MAX)
        self.registrar.signal(incoming, sized(callee_id, limits.ID_BYTES), sealed, round_trip_ms)

    def rpc_deliver(self, incoming: Incoming) -> None:
        """DELIVER [sealed offer, round trip]: an offer that a registrar relays.

        The round trip is the caller's to the registrar, in ms.
        """
        sealed, round_trip_ms = shape(incoming.request.arguments, bytes, int)
        ranged(round_trip_ms, 0, limits.ROUND_TRIP_MS_MAX)
        self.registrar.deliver(incoming, sealed, round_trip_ms)

    def rpc_dialback(self, incoming: Incoming) -> None:
        """DIALBACK [random, hosts]: have another contact send a dial-back to the sender."""
        self._dialing.find_dialer(incoming)

    def rpc_dial(self, incoming: Incoming) -> None:
        """DIAL [random, address]: send a dial-back to the address, for a contact's asker."""
        self._dialing.dial(incoming)

    def rpc_witness(self, incoming: Incoming) -> list[Any]:
        """WITNESS [token]: note that it came from the sender's address, which is proved."""
        (token,) = shape(incoming.request.arguments, bytes)
        host = incoming.address.host
        self._witness_book.note(sized(token, PUNCH_TOKEN_BYTES), host, self._loop.time())
        return []

    def rpc_witnessed(self, incoming: Incoming) -> list[Any]:
        """WITNESSED [token]: the hosts that it came from."""
        (token,) = shape(incoming.request.arguments, bytes)
        now = self._loop.time()
        return [encode_hosts(self._witness_book.hosts(sized(token, PUNCH_TOKEN_BYTES), now))]

    def rpc_leave(self, incoming: Incoming) -> list[Any]:
        """LEAVE []: the sender ends, and answers no more requests."""
        shape(incoming.request.arguments)
        self._leaving.left(incoming)
        return []

    def rpc_credentials(self, incoming: Incoming) -> list[Any]:
        """CREDENTIALS []: what the sender needs to allocate at this node as its relay."""
        shape(incoming.request.arguments)
        return encode_grant(self._grant_relaying(incoming.session.peer_id, incoming.address))

    def _store(self, incoming: Incoming, record: Record) -> None:
        storer = Storer.at(incoming.session.peer_id, incoming.address.host)
        self.storage.store_for(storer, record)

    def _read(self, raw: bytes, key: bytes) -> Record:
        return records.read(raw, key=key, now=self._wall(), puzzle_bits=self._puzzle_bits)

    def _nearest(self, incoming: Incoming, target: bytes, families: int) -> list[Contact]:
        asker = incoming.session.contact.number
        found: list[Contact] = self.router.nearest_sound(
            int.from_bytes(target), limits.CONTACTS_PER_REPLY, families, but=asker
        )
        return found

    # Requests of ours, in kademlia's names -------------------------------------------------

    async def call_find_node(
        self, node_to_ask: Contact, target: bytes, families: int = V4 | V6
    ) -> Found:
        """Ask one contact for the contacts nearest to a target; raises TimedOut, Malformed."""
        response = await self.wire.ask(node_to_ask, Method.FIND_NODE, [target, families])
        self.maintenance.answered(node_to_ask)
        return decode_found(response.result)

    async def call_store(self, node_to_ask: Contact, key: bytes, value: Record) -> Response:
        """Store a record at one contact; raises TimedOut."""
        response = await self.wire.ask(node_to_ask, Method.STORE, [key, value.raw])
        self._own_clock.answered(node_to_ask, response.code)
        return response

    async def call_find_value(
        self,
        node_to_ask: Contact,
        key: bytes,
        kind: int,
        skip: int = 0,
        families: int = V4 | V6,
    ) -> Found:
        """Read records at one contact from number `skip` on; raises TimedOut, Malformed."""
        arguments = [key, kind, skip, families]
        response = await self.wire.ask(node_to_ask, Method.FIND_VALUE, arguments)
        return decode_found(response.result)

    async def call_credentials(self, node_to_ask: Contact) -> RelayGrant:
        """Ask a contact for credentials as a relay.

        One that has never answered gets one request: a peer may have named a victim's address.
        Raises RelayFailed if it does not relay, TimedOut, BadToken, Malformed.
        """
        tries = 2 if self.wire.has_answered(node_to_ask) else 1
        response = await self.wire.ask(node_to_ask, Method.CREDENTIALS, [], tries=tries)
        if response.code != Code.OK:
            raise RelayFailed("the contact does not relay")
        return decode_grant(response.result)


_HANDLERS: dict[int, RequestHandler] = {
    Method.PING: OverlayProtocol.rpc_ping,
    Method.MEET: OverlayProtocol.rpc_meet,
    Method.FIND_NODE: OverlayProtocol.rpc_find_node,
    Method.FIND_VALUE: OverlayProtocol.rpc_find_value,
    Method.STORE: OverlayProtocol.rpc_store,
    Method.REGISTER: OverlayProtocol.rpc_register,
    Method.KEEPALIVE: OverlayProtocol.rpc_keepalive,
    Method.SIGNAL: OverlayProtocol.rpc_signal,
    Method.DELIVER: OverlayProtocol.rpc_deliver,
    Method.DIALBACK: OverlayProtocol.rpc_dialback,
    Method.DIAL: OverlayProtocol.rpc_dial,
    Method.CREDENTIALS: OverlayProtocol.rpc_credentials,
    Method.WITNESS: OverlayProtocol.rpc_witness,
    Method.WITNESSED: OverlayProtocol.rpc_witnessed,
    Method.LEAVE: OverlayProtocol.rpc_leave,
}

_NEEDS_PROOF: frozenset[RequestHandler] = frozenset(
    (
        OverlayProtocol.rpc_store,
        OverlayProtocol.rpc_register,
        OverlayProtocol.rpc_signal,
        OverlayProtocol.rpc_dialback,
        OverlayProtocol.rpc_dial,
        OverlayProtocol.rpc_witness,
        OverlayProtocol.rpc_credentials,
        OverlayProtocol.rpc_leave,
    )
)
