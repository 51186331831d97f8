"""ICE for one link: aioice's agent with our addresses, our randomness and no server of any kind.

aioice asks a public STUN server by default, leaves out 127.0.0.1, hands whatever arrives from
anybody to DTLS (where an empty datagram ends the connection), answers requests that nobody
authenticated, and lets a peer add addresses without bound. The hooks below settle each of these.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import struct
from collections.abc import Sequence

from aioice import Candidate as AgentCandidate
from aioice import Connection, ConnectionClosed, stun
from aioice.candidate import candidate_foundation
from aioice.ice import CandidatePair, ConnectionEvent, StunProtocol
from aiortc import RTCIceCandidate, RTCIceGatherer, RTCIceParameters, RTCIceTransport

from node.environment import Environment
from node.links.failure import LinkAttemptFailed, Stage
from node.links.settings import LinkSettings
from protocol import limits
from protocol.addresses import Address, canonical
from protocol.description import (
    Candidate,
    CandidateKind,
    Description,
    fresh_credentials,
    priority,
)
from protocol.errors import BadAddress
from protocol.randomness import Random

_log = logging.getLogger(__name__)

_COMPONENT = 1
_STUN_FIRST_BYTES = range(4)
_DTLS_FIRST_BYTES = range(20, 64)
_RECEIVE_BUFFER_BYTES = 1024 * 1024

_ROLE_CONFLICT = 487
"""The error code of RFC 8445, 7.3.1.1."""

_CONSENT_RETRANSMISSIONS = 2
"""The answer may take 3.5 s (0.5 + 1 + 2), so that a slow path is not taken for a dead one."""

_AGENT_TYPES = {
    CandidateKind.HOST: "host",
    CandidateKind.SERVER_REFLEXIVE: "srflx",
    CandidateKind.RELAYED: "relay",
}

_OUTCOMES = {
    CandidatePair.State.FROZEN: "not tried",
    CandidatePair.State.WAITING: "not tried",
    CandidatePair.State.IN_PROGRESS: "no answer",
    CandidatePair.State.SUCCEEDED: "answered",
    CandidatePair.State.FAILED: "failed",
}


def local_addresses(settings: LinkSettings, environment: Environment) -> list[str]:
    """The IP literals to open sockets on, at most CANDIDATES, IPv4 first."""
    if settings.ice_addresses is not None:
        found = [canonical(host, 1).host for host in settings.ice_addresses]
    else:
        found = [host for host in environment.host_addresses() if _leads_anywhere(host)]
    unique = dict.fromkeys(found)
    return sorted(unique, key=lambda host: ":" in host)[: limits.CANDIDATES]


def _leads_anywhere(host: str) -> bool:
    try:
        literal = ipaddress.ip_address(canonical(host, 1).host)
    except BadAddress:  # one with a scope: link-local
        return False
    return not (literal.is_loopback or literal.is_link_local or literal.is_unspecified)


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback


class _Socket(StunProtocol):
    """One UDP socket: tells STUN from DTLS by the first byte (RFC 7983) and drops the rest."""

    receiver: "_Agent"

    def datagram_received(self, data: bytes | str, addr: tuple[object, ...]) -> None:
        if not data or isinstance(data, str):
            return
        if data[0] in _DTLS_FIRST_BYTES:
            if self.receiver.knows(str(addr[0]), addr[1]):
                self.receiver.data_received(data, _COMPONENT)
        elif data[0] in _STUN_FIRST_BYTES:
            # aioice's parser lets struct.error out for attributes of a wrong length.
            with contextlib.suppress(struct.error):
                super().datagram_received(data, addr)


class _Agent(Connection):
    """aioice's agent. Its own gathering, consent checks and answers to strangers are replaced."""

    def __init__(
        self,
        addresses: Sequence[str],
        settings: LinkSettings,
        rng: Random,
        credentials: tuple[str, str],
    ) -> None:
        super().__init__(
            ice_controlling=False, local_username=credentials[0], local_password=credentials[1]
        )
        self._addresses = addresses
        self._settings = settings
        self._rng = rng
        self._tie_breaker = rng.getrandbits(64)
        self._last_known: tuple[str, object] | None = None
        self.consent_lost = False

    async def gather_candidates(self) -> None:
        """Open a socket on each address; those that cannot be bound are left out."""
        loop = asyncio.get_running_loop()
        for address in self._addresses:
            try:
                transport, protocol = await loop.create_datagram_endpoint(
                    lambda: _Socket(self), local_addr=(address, 0)
                )
            except OSError as error:
                _log.info("no socket on %s: %s", address, error)
                continue
            self._add_socket(transport, protocol)
        self._local_candidates_end = True

    def _add_socket(self, transport: asyncio.DatagramTransport, protocol: _Socket) -> None:
        own_socket = transport.get_extra_info("socket")
        if own_socket is not None:
            own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        host, port = transport.get_extra_info("sockname")[:2]
        protocol.local_candidate = AgentCandidate(
            foundation=candidate_foundation("host", "udp", host),
            component=_COMPONENT,
            transport="udp",
            priority=priority(CandidateKind.HOST, len(self._protocols)),
            host=host,
            port=port,
            type="host",
        )
        self._protocols.append(protocol)
        self._local_candidates.append(protocol.local_candidate)

    def knows(self, host: str, port: object) -> bool:
        """Whether this is an address of the peer: told by it, or proved by a check."""
        if (host, port) == self._last_known:
            return True
        if any(c.host == host and c.port == port for c in self._remote_candidates):
            self._last_known = (host, port)
            return True
        return False

    def data_received(self, data: bytes, component: int) -> None:
        """Queue a datagram for DTLS; what cannot be DTLS is dropped, and so is a flood."""
        if data[0] in _DTLS_FIRST_BYTES and self._queue.qsize() < limits.ICE_DATAGRAMS_WAITING:
            super().data_received(data, component)

    def build_request(self, pair: CandidatePair, nominate: bool) -> stun.Message:
        """A check whose transaction id comes from our randomness."""
        request = super().build_request(pair, nominate)
        request.transaction_id = self._rng.randbytes(12)
        return request

    def check_incoming(
        self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol
    ) -> None:
        """Take an authenticated check; a peer may not have more addresses than it needs."""
        full = len(self._remote_candidates) >= limits.ICE_ADDRESSES_LEARNED
        if "PRIORITY" in message.attributes and (self.knows(*addr) or not full):
            super().check_incoming(message, addr, protocol)

    def respond_error(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        protocol: StunProtocol,
        error_code: tuple[int, str],
    ) -> None:
        """Answer a conflict of roles, and nothing that nobody authenticated: no reflection."""
        if error_code[0] == _ROLE_CONFLICT:
            super().respond_error(request, addr, protocol, error_code)

    async def query_consent(self) -> None:
        """Check that the peer is still there (RFC 7675), with jitter from our randomness."""
        failures = 0
        while failures < self._settings.consent_failures:
            await asyncio.sleep(
                self._settings.consent_interval_s * (0.8 + 0.4 * self._rng.random())
            )
            failures = 0 if await self._peer_answers() else failures + 1
        self.consent_lost = True
        self._query_consent_task = None
        await self.close()

    async def _peer_answers(self) -> bool:
        pair = self._nominated.get(_COMPONENT)
        if pair is None or self.remote_password is None:
            return False
        try:
            await pair.protocol.request(
                self.build_request(pair, nominate=False),
                pair.remote_addr,
                integrity_key=self.remote_password.encode(),
                retransmissions=_CONSENT_RETRANSMISSIONS,
            )
        except stun.TransactionError:
            return False
        return True

    async def get_event(self) -> ConnectionEvent | None:
        """The next event. Once closed aioice returns None at once, and its caller would spin."""
        return await super().get_event() or ConnectionClosed()

    @property
    def nominated_pair(self) -> CandidatePair | None:
        """The pair of addresses that carries the link."""
        return self._nominated.get(_COMPONENT)

    def outcomes(self) -> list[str]:
        """One line for each pair of addresses in the check list."""
        return [
            f"{_text(pair.local_addr)} to {_text(pair.remote_addr)}: {_OUTCOMES[pair.state]}"
            for pair in self._check_list
        ]


def _text(address: tuple[str, int]) -> str:
    return str(Address(*address[:2]))


class _Gatherer(RTCIceGatherer):
    """aiortc's gatherer around our agent."""

    def __init__(self, agent: _Agent) -> None:
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
        self._agent = _Agent(
            self._addresses, settings, environment.rng, fresh_credentials(environment.rng)
        )
        self._gatherer = _Gatherer(self._agent)
        self.transport = RTCIceTransport(self._gatherer)

    async def gather(self, *, controlling: bool) -> None:
        """Open the sockets; raises LinkAttemptFailed if there is no address to use.

        The role is settled before the first socket is open: the peer's checks may come as soon as
        it knows our address, and a role that is still undecided is taken for a conflict.
        """
        self._agent.ice_controlling = controlling
        await self._gatherer.gather()
        if not self._agent.local_candidates:
            raise LinkAttemptFailed(Stage.ICE, "this machine has no network address to use")

    def describe(self, fingerprint: bytes, role: int) -> Description:
        """What the peer must know, with our candidates."""
        candidates = tuple(
            Candidate(CandidateKind.HOST, canonical(found.host, found.port))
            for found in self._agent.local_candidates
        )
        own = self._gatherer.getLocalParameters()
        assert own.usernameFragment is not None
        assert own.password is not None
        return Description(own.usernameFragment, own.password, fingerprint, role, candidates)

    async def connect(self, remote: Description) -> None:
        """Find a pair of addresses that works; raises LinkAttemptFailed. Has no time limit."""
        for position, candidate in enumerate(remote.candidates):
            if self._usable(candidate):
                await self.transport.addRemoteCandidate(_to_agent(candidate, position))
        await self.transport.addRemoteCandidate(None)
        await self.transport.start(RTCIceParameters(remote.ufrag, remote.password))
        if self.transport.state != "completed":
            reason = "no pair of addresses worked" if self.tried() else self._no_pairs(remote)
            raise LinkAttemptFailed(Stage.ICE, reason, self.tried())

    def tried(self) -> list[str]:
        """One line for each pair of addresses, with its outcome."""
        return self._agent.outcomes()

    @property
    def remote_address(self) -> Address:
        """Where the peer is; raises LookupError before `connect` returned."""
        pair = self._agent.nominated_pair
        if pair is None:
            raise LookupError("there is no connection yet")
        return Address(*pair.remote_addr)

    @property
    def relayed(self) -> bool:
        """Whether either end of the path is a relay's."""
        pair = self._agent.nominated_pair
        return pair is not None and "relay" in {
            pair.local_candidate.type,
            pair.remote_candidate.type,
        }

    @property
    def peer_vanished(self) -> bool:
        """Whether the path ended because the peer stopped answering."""
        return self._agent.consent_lost

    async def close(self) -> None:
        """Close the sockets, at any stage. Call it once, from a task that is let be."""
        await self.transport.stop()

    def _usable(self, candidate: Candidate) -> bool:
        """A stranger must not make us send to our own loopback, unless that is where we live."""
        own_loopback = all(map(_is_loopback, self._addresses))
        return own_loopback or not _is_loopback(candidate.address.host)

    def _no_pairs(self, remote: Description) -> str:
        theirs = ", ".join(str(candidate.address) for candidate in remote.candidates) or "none"
        return f"none of our addresses ({', '.join(self._addresses)}) fits theirs ({theirs})"


def _to_agent(candidate: Candidate, position: int) -> RTCIceCandidate:
    kind = _AGENT_TYPES[CandidateKind(candidate.kind)]
    host, port = candidate.address
    return RTCIceCandidate(
        component=_COMPONENT,
        foundation=candidate_foundation(kind, "udp", host),
        ip=host,
        port=port,
        priority=priority(candidate.kind, position),
        protocol="udp",
        type=kind,
    )
