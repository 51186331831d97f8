"""The relay on this node's ports: STUN for all hosts, TURN for peers, and their credentials.

Relaying is a favour, so own traffic comes first: while a port is full, what is relayed by it is
dropped.
"""

import asyncio
from collections.abc import Callable, Iterable

from node.answers.status import RelayStatus
from node.counters import Counters
from node.environment import Environment
from node.net.endpoint import Endpoint
from node.net.udp.port import Port
from node.relay.departures import Departures
from node.relay.foreign_ports import ForeignPorts
from node.relay.settings import RelaySettings
from protocol.addresses import Address
from protocol.errors import RelayRefusal
from protocol.identity import PeerId
from protocol.stun.attributes import ErrorCode
from protocol.turn.credentials import CredentialMaker
from protocol.turn.forwarding import RelaySend
from protocol.turn.grant import RelayGrant
from protocol.turn.policy import PeerPolicy
from protocol.turn.server import TurnServer

_SECRET_BYTES = 32


class RelayService:
    """Relays by the endpoint's ports. `is_our_relay`: whether we use the relay there.

    `is_reachable`: whether others might come in unasked, as both peers of a relay must.
    """

    def __init__(
        self,
        own_id: PeerId,
        environment: Environment,
        endpoint: Endpoint,
        settings: RelaySettings,
        counters: Counters,
        *,
        is_our_relay: Callable[[Address], bool],
        is_reachable: Callable[[], bool],
    ) -> None:
        self.settings = settings
        self._is_reachable = is_reachable
        self._environment = environment
        self._endpoint = endpoint
        self._counters = counters
        self._time = asyncio.get_running_loop().time
        self._credentials = CredentialMaker(
            environment.rng.randbytes(_SECRET_BYTES), shared_secret=settings.secret
        )
        self._departures = Departures(self._depart)
        self._foreign = ForeignPorts(environment, endpoint, counters, self._relayed_received)
        self._turn = TurnServer(
            own_id,
            self._credentials,
            quota=settings.quota,
            policy=PeerPolicy(self._foreign.own_addresses, private=settings.private),
            ports=settings.relayed_addresses(),
            is_our_relay=is_our_relay,
            rng=environment.rng,
        )

    async def open(self) -> None:
        """Bind the relayed ports that are configured; raises OSError."""
        await self._foreign.open(self.settings.relayed_addresses())

    async def close(self) -> None:
        """Close the relayed ports."""
        await self._foreign.close()

    # Status ---------------------------------------------------------------------------------

    @property
    def allocations(self) -> int:
        """Allocations that stand."""
        return self._turn.table.count(self._time())

    @property
    def bytes_today(self) -> int:
        """Bytes forwarded since the day began."""
        return self._turn.meter.today(self._time())

    def status(self) -> RelayStatus:
        """What it does now."""
        settings = self.settings
        return RelayStatus(
            settings.is_on,
            self.allocations,
            self.bytes_today,
            settings.bytes_a_day,
            settings.rate,
        )

    def serves(self, address: Address) -> bool:
        """Whether a client at this address has an allocation here."""
        return self._turn.table.has_client(address, self._time())

    def client_gone(self, client: Address, local: Address) -> None:
        """The stream by which a client came, to `local`, has ended."""
        self._turn.client_gone((client, local))

    # What peers ask ---------------------------------------------------------------------------

    def grant(self, peer_id: PeerId, address: Address) -> RelayGrant:
        """Credentials for a peer at an address that it has proved; raises RelayRefusal."""
        if not self.settings.is_on:
            raise RelayRefusal(ErrorCode.FORBIDDEN, "this node does not relay")
        if not self._is_reachable():
            raise RelayRefusal(ErrorCode.FORBIDDEN, "others do not reach this node unasked")
        return self._credentials.grant(
            peer_id,
            address,
            now=self._time(),
            wall=self._environment.wall(),
            terms=self.settings.quota.terms,
        )

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        """Take a request or an indication to a STUN or TURN server; raises RemoteError."""
        now, wall = self._time(), self._environment.wall()
        self._send(self._turn.receive(message, source, local, now, wall))

    def channel_received(self, buffer: bytes, size: int, source: Address, local: Address) -> None:
        """Take ChannelData of a client; raises RemoteError."""
        now = self._time()
        self._send(self._turn.forwarder.channel_received(buffer, size, source, local, now))

    def _relayed_received(
        self, buffer: bytes, size: int, source: Address, relayed: Address
    ) -> None:
        now = self._time()
        self._send(self._turn.forwarder.relayed_received(buffer, size, source, relayed, now))

    def _send(self, sends: Iterable[RelaySend]) -> None:
        for send in sends:
            self._departures.add(send)

    def _depart(self, send: RelaySend) -> None:
        parts, size, remote, local = send
        port = self._port_at(local)
        if port is None or port.is_closing():
            self._counters.refused["no_socket_of_this_family"] += 1
        elif port.full:
            self._counters.refused["relay_gave_way"] += 1
        elif len(parts) == 1 and isinstance(first := parts[0], bytes):
            port.send_segments(first, size, remote)
        else:
            port.send_gathered(parts, size, remote)

    def _port_at(self, local: Address) -> Port | None:
        return self._endpoint.port_at(local) or self._foreign.port_at(local)
