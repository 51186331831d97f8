"""ICE for one link, from its sockets to a path, without a server of any kind.

aiortc asks a public STUN server unless it is told not to, and aioice leaves out 127.0.0.1.
"""

from collections.abc import Callable

from aioice.candidate import candidate_foundation
from aiortc import RTCIceCandidate, RTCIceGatherer, RTCIceParameters, RTCIceTransport

from node.environment import Environment
from node.links.failure import LinkAttemptFailed
from node.links.path.agent import COMPONENT, Agent
from node.links.path.found_path import FoundPath
from node.links.settings import LinkSettings
from node.links.stages import Stage
from node.net.demux import RecordBuffers
from protocol import limits
from protocol.addresses import Address, canonical, is_loopback, is_shareable
from protocol.causes.cause import Cause
from protocol.causes.tried import CandidateType, TriedPair
from protocol.description import Description, IceCandidate, fresh_credentials
from protocol.ice.candidates import CandidateKind, priority

_AGENT_TYPES = {
    CandidateKind.HOST: "host",
    CandidateKind.SERVER_REFLEXIVE: "srflx",
    CandidateKind.RELAYED: "relay",
}


def local_addresses(settings: LinkSettings, environment: Environment) -> list[str]:
    """The IP literals to open sockets on, at most CANDIDATES, IPv4 first."""
    if settings.ice_addresses is not None:
        found = [canonical(host, 1).host for host in settings.ice_addresses]
    else:
        found = [host for host in environment.host_addresses() if is_shareable(host)]
    unique = dict.fromkeys(found)
    return sorted(unique, key=lambda host: ":" in host)[: limits.CANDIDATES]


class _Gatherer(RTCIceGatherer):
    """aiortc's gatherer around our agent."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(
            iceServers=[],
            local_username=agent.local_username,
            local_password=agent.local_password,
        )
        self._connection = agent


class IcePath:
    """The ICE side of one link, from gathering to closing."""

    def __init__(self, environment: Environment, settings: LinkSettings) -> None:
        self._addresses = local_addresses(settings, environment)
        self.agent = Agent(
            self._addresses, settings, environment, fresh_credentials(environment.rng)
        )
        self._gatherer = _Gatherer(self.agent)
        self.transport = RTCIceTransport(self._gatherer)

    async def gather(self, *, controlling: bool) -> None:
        """Open the sockets; raises LinkAttemptFailed if there is no address to use.

        The role is settled before the first socket is open: the peer's checks may come as soon as
        it knows our address, and a role that is still undecided is taken for a conflict.
        """
        self.agent.ice_controlling = controlling
        await self._gatherer.gather()
        if not self.agent.local_candidates:
            raise LinkAttemptFailed(
                Stage.ICE, "no address that a socket can be bound to", cause=Cause.NO_ADDRESS
            )

    def describe(self, fingerprint: bytes, role: int, *, takes_bursts: bool = False) -> Description:
        """What the peer must know, with our candidates."""
        candidates = tuple(
            IceCandidate(CandidateKind.HOST, canonical(found.host, found.port))
            for found in self.agent.local_candidates
        )
        own = self._gatherer.getLocalParameters()
        assert own.usernameFragment is not None
        assert own.password is not None
        return Description(
            own.usernameFragment, own.password, fingerprint, role, candidates, takes_bursts
        )

    async def connect(self, remote: Description) -> None:
        """Find a pair of addresses that works; raises LinkAttemptFailed. Has no time limit."""
        for position, candidate in enumerate(remote.candidates):
            if self._usable(candidate):
                await self.transport.addRemoteCandidate(_to_agent(candidate, position))
        await self.transport.addRemoteCandidate(None)
        await self.transport.start(RTCIceParameters(remote.ufrag, remote.password))
        if self.transport.state != "completed":
            reason = "no pair of addresses worked" if self.tried() else self._no_pairs(remote)
            raise LinkAttemptFailed(Stage.ICE, reason)

    def tried(self) -> tuple[TriedPair, ...]:
        """The pairs of addresses so far, with their outcomes."""
        return self.agent.outcomes()

    def found_path(self) -> FoundPath:
        """The pair that is in use; raises LookupError before `connect` returned."""
        pair = self.agent.nominated_pair
        if pair is None:
            raise LookupError("there is no connection yet")
        return FoundPath(
            Address(*pair.local_addr),
            CandidateType(pair.local_candidate.type),
            Address(*pair.remote_addr),
            CandidateType(pair.remote_candidate.type),
        )

    def carry_records(
        self, take: Callable[[RecordBuffers], None], writable: Callable[[], None]
    ) -> None:
        """Give application records to `take` from now on, and tell when `full` is over."""
        # DTLS is made of the ICE path, and takes records only after its handshake.
        self.agent.take_records = take
        self.agent.writable = writable

    @property
    def full(self) -> bool:
        """Whether the socket takes nothing more at present."""
        port = self.agent.port
        return port is not None and port.full

    def send_segments(self, buffer: bytes, size: int) -> None:
        """Send a buffer to the peer as datagrams of `size` bytes, the last of what is left."""
        pair, port = self.agent.nominated_pair, self.agent.port
        if pair is not None and port is not None:
            port.send_segments(buffer, size, pair.remote_addr)

    def send_whole(self, datagram: bytes) -> bool:
        """Send a datagram that no router may fragment; False if that cannot be asked for."""
        pair, port = self.agent.nominated_pair, self.agent.port
        if pair is None or port is None:
            return False
        return port.send_whole(datagram, pair.remote_addr)

    @property
    def peer_vanished(self) -> bool:
        """Whether the path ended because the peer stopped answering."""
        return self.agent.consent_lost

    async def close(self) -> None:
        """Close the sockets, at any stage. Call it once, from a task that is not cancelled."""
        self.agent.take_records = self.agent.writable = None
        await self.transport.stop()

    def _usable(self, candidate: IceCandidate) -> bool:
        """A peer must not make us send to our own loopback, unless all our sockets are there."""
        own_loopback = all(map(is_loopback, self._addresses))
        return own_loopback or not is_loopback(candidate.address.host)

    def _no_pairs(self, remote: Description) -> str:
        theirs = ", ".join(str(candidate.address) for candidate in remote.candidates) or "none"
        return f"none of our addresses ({', '.join(self._addresses)}) fits theirs ({theirs})"


def _to_agent(candidate: IceCandidate, position: int) -> RTCIceCandidate:
    kind = _AGENT_TYPES[CandidateKind(candidate.kind)]
    host, port = candidate.address
    return RTCIceCandidate(
        component=COMPONENT,
        foundation=candidate_foundation(kind, "udp", host),
        ip=host,
        port=port,
        priority=priority(candidate.kind, position),
        protocol="udp",
        type=kind,
    )
