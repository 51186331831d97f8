"""A relay and its clients in memory: what one sends the other gets at once, or a test takes it."""

import math
import random
from collections.abc import Callable

from protocol.addresses import Address
from protocol.errors import RemoteError
from protocol.identity import PeerId
from protocol.stun.message import StunClass, StunMessage, StunMethod, decode_stun, encode_stun
from protocol.turn.client import TurnClient
from protocol.turn.client_peers import RelayedArrival
from protocol.turn.credentials import CredentialMaker
from protocol.turn.events import TurnEvent
from protocol.turn.forwarding import RelaySend
from protocol.turn.grant import RelayGrant
from protocol.turn.policy import PeerPolicy
from protocol.turn.server import TurnServer
from protocol.turn.terms import RelayQuota
from protocol.turn.virtual import relayed_address

RELAY_ID, A_ID, B_ID, C_ID = (bytes((number,)) * 20 for number in range(4))
RELAY = Address("198.51.100.1", 4001)
A, B, C = (Address(f"203.0.{number}.7", 4001) for number in (113, 114, 115))
WALL = 1_790_000_000.0
OWN = frozenset({RELAY})


class World:
    """`now` is the clock of all; datagrams take no time. `lost` tells which never arrive."""

    def __init__(
        self,
        *,
        quota: RelayQuota | None = None,
        ports: tuple[Address, ...] = (),
        private: bool = False,
        shared_secret: str = "",
        our_relays: frozenset[Address] = frozenset(),
    ) -> None:
        self.now = 1000.0
        self.rng = random.Random(1)
        self.quota = quota or RelayQuota()
        self.credentials = CredentialMaker(bytes(32), shared_secret=shared_secret)
        self.server = TurnServer(
            RELAY_ID,
            self.credentials,
            quota=self.quota,
            policy=PeerPolicy(lambda: OWN, private=private),
            ports=ports,
            is_our_relay=our_relays.__contains__,
            rng=self.rng,
        )
        self.clients: dict[Address, Client] = {}
        self.sent_on: list[RelaySend] = []
        self.refused: list[str] = []
        self.lost: Callable[[bytes], bool] = lambda _: False

    @property
    def wall(self) -> float:
        return WALL + self.now

    def grant(self, peer_id: PeerId, address: Address) -> RelayGrant:
        return self.credentials.grant(
            peer_id, address, now=self.now, wall=self.wall, terms=self.quota.terms
        )

    def client(
        self, peer_id: PeerId, address: Address, grant: RelayGrant | None = None
    ) -> "Client":
        made = self.clients[address] = Client(
            self, peer_id, address, grant or self.grant(peer_id, address)
        )
        made.run()
        return made

    def pair(self) -> tuple["Client", "Client"]:
        """Two clients that have let each other in."""
        a, b = self.client(A_ID, A), self.client(B_ID, B)
        a.permit(b.relayed)
        b.permit(a.relayed)
        return a, b

    def to_relay(self, datagram: bytes, source: Address, size: int = 0) -> None:
        """Give the relay a datagram or a buffer, and pass on what it sends."""
        if self.lost(datagram):
            return
        try:
            if datagram[0] >= 64:
                sends = self.server.forwarder.channel_received(
                    datagram, size or len(datagram), source, RELAY, self.now
                )
            else:
                sends = self.server.receive(datagram, source, RELAY, self.now, self.wall)
        except RemoteError as error:
            self.refused.append(error.name)
            return
        for send in sends:
            self.pass_on(send)

    def pass_on(self, send: RelaySend) -> None:
        self.sent_on.append(send)
        client = self.clients.get(send.remote)
        buffer = b"".join(send.parts)
        if client is not None and send.local == RELAY and not self.lost(buffer):
            client.receive(buffer, send.size)

    def pass_time(self, seconds: float) -> None:
        """Wake every client when it wants to be, until that time has passed."""
        end = self.now + seconds
        while True:
            due = [one.turn.wake_at for one in self.clients.values() if one.turn.wake_at]
            at = min(due, default=math.inf)
            if at > end:
                break
            self.now = max(self.now, at)
            for client in self.clients.values():
                client.turn.wake(self.now)
                client.run()
        self.now = end

    def ask(self, address: Address, method: StunMethod, *attributes: tuple[int, bytes]) -> bytes:
        """A request without credentials; the relay's answer, or nothing."""
        message = StunMessage(StunClass.REQUEST, method, bytes(12), attributes)
        before = len(self.sent_on)
        self.to_relay(encode_stun(message, fingerprint=False), address)
        return b"".join(self.sent_on[before].parts) if len(self.sent_on) > before else b""


class Client:
    """A `TurnClient` at an address, with all that came to it."""

    def __init__(self, world: World, peer_id: PeerId, address: Address, grant: RelayGrant) -> None:
        self.world = world
        self.address = address
        self.relayed = relayed_address(RELAY_ID, peer_id)
        self.turn = TurnClient(
            grant, transaction_prefix=b"turn", rng=world.rng, now=world.now, wait_s=0.5
        )
        self.events: list[TurnEvent] = []
        self.arrived: list[RelayedArrival] = []
        self.sent: list[bytes] = []

    def run(self) -> None:
        while datagrams := self.turn.take_datagrams():
            self.sent += datagrams
            for datagram in datagrams:
                self.world.to_relay(datagram, self.address)
        self.events += self.turn.take_events()

    def permit(self, peer: Address) -> None:
        self.turn.permit(peer, self.world.now)
        self.run()

    def send(self, buffer: bytes, peer: Address, size: int = 0) -> None:
        for parts, outer in self.turn.outgoing(buffer, size or len(buffer), peer):
            self.world.to_relay(b"".join(parts), self.address, outer)

    def receive(self, buffer: bytes, size: int) -> None:
        if buffer[0] >= 64:
            self.arrived += self.turn.channel_received(buffer, size)
        else:
            self.arrived += self.turn.receive(buffer, self.world.now)
            self.run()

    @property
    def requests(self) -> list[StunMethod]:
        """The methods of all requests that were sent."""
        return [decode_stun(datagram).method for datagram in self.sent]


def code_of(answer: bytes) -> int:
    """The ERROR-CODE of an answer."""
    error = decode_stun(answer).error()
    assert error is not None
    return error[0]
