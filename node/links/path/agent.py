"""aioice's ICE agent, with our addresses and our randomness, hearing its peer only.

aioice hands datagrams from any address to DTLS (where an empty one ends the connection), answers
requests that failed authentication, lets a peer add addresses without bound, and takes its
addresses and its randomness from the system. The hooks below settle each of these.
"""

import asyncio
import contextlib
import logging
import struct
from collections.abc import Callable, Sequence
from typing import cast

from aioice import Candidate as AgentCandidate
from aioice import Connection, ConnectionClosed, stun
from aioice.candidate import candidate_foundation
from aioice.ice import CandidatePair, ConnectionEvent, StunProtocol

from node.counters import Counters
from node.environment import Environment
from node.links.settings import LinkSettings
from node.net.claim import Claim
from node.net.demux import PREFIX_BYTES, Demux, RecordBuffers
from node.net.udp.opening import open_port
from node.net.udp.port import Arrival, Port, PortUser, split
from protocol import limits
from protocol.addresses import Address
from protocol.causes.tried import CandidateType, CheckOutcome, TriedPair
from protocol.ice.candidates import CandidateKind, priority

_log = logging.getLogger(__name__)

COMPONENT = 1

_ROLE_CONFLICT = 487
"""The error code of RFC 8445, 7.3.1.1."""

_CONSENT_RETRANSMISSIONS = 2
"""The answer may take 3.5 s (0.5 + 1 + 2), so that a slow path is not taken for a dead one."""

_OUTCOMES = {
    CandidatePair.State.FROZEN: CheckOutcome.NOT_TRIED,
    CandidatePair.State.WAITING: CheckOutcome.NOT_TRIED,
    CandidatePair.State.IN_PROGRESS: CheckOutcome.NO_ANSWER,
    CandidatePair.State.SUCCEEDED: CheckOutcome.ANSWERED,
    CandidatePair.State.FAILED: CheckOutcome.NO_ANSWER,
}


class _Socket(StunProtocol, PortUser):
    """One UDP socket of an agent, whose demultiplexer takes what arrives."""

    receiver: "Agent"
    local: Address

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the address that the port is bound to."""
        super().connection_made(transport)
        self.local = Address(*transport.get_extra_info("sockname")[:2])

    def burst_received(self, burst: list[Arrival]) -> None:
        """Give what arrived to the demultiplexer."""
        self.receiver.demux.burst_received(burst, self.local)

    def resume_writing(self) -> None:
        """The socket takes datagrams again."""
        if self.receiver.writable is not None:
            self.receiver.writable()


class Agent(Connection):
    """aioice's agent. Its own gathering, consent checks and error responses are replaced.

    Its sockets are its own, so `demux` has no other owner, and `counters` count this link alone.
    `take_records`, once set, gets application records of DTLS past aioice's queue; `writable` is
    called when a socket takes datagrams again after it had been full.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        settings: LinkSettings,
        environment: Environment,
        credentials: tuple[str, str],
    ) -> None:
        super().__init__(
            ice_controlling=False, local_username=credentials[0], local_password=credentials[1]
        )
        self._addresses = addresses
        self._settings = settings
        self._udp_socket = environment.udp_socket
        self._rng = environment.rng
        self._tie_breaker = self._rng.getrandbits(64)
        self._prefix = self._rng.randbytes(PREFIX_BYTES)
        self._sockets: dict[Address, _Socket] = {}
        self.counters = Counters()
        self.demux = Demux(self.counters)
        self.demux.register_ufrag(credentials[0], self)
        self.demux.register_transactions(self._prefix, self)
        self.consent_lost = False
        self.take_records: Callable[[RecordBuffers], None] | None = None
        self.writable: Callable[[], None] | None = None

    async def gather_candidates(self) -> None:
        """Open a socket on each address; those that cannot be bound are left out."""
        for address in self._addresses:
            user = _Socket(self)
            try:
                await open_port(user, address, 0, self._udp_socket)
            except OSError as error:
                _log.info("no socket on %s: %s", address, error)
                continue
            self._add_socket(user)
        self._local_candidates_end = True

    def _add_socket(self, protocol: _Socket) -> None:
        host, number = protocol.local
        protocol.local_candidate = AgentCandidate(
            foundation=candidate_foundation("host", "udp", host),
            component=COMPONENT,
            transport="udp",
            priority=priority(CandidateKind.HOST, len(self._protocols)),
            host=host,
            port=number,
            type="host",
        )
        self._protocols.append(protocol)
        self._sockets[protocol.local] = protocol
        self._local_candidates.append(protocol.local_candidate)

    async def add_remote_candidate(self, remote_candidate: AgentCandidate | None) -> None:
        """Take an address that the peer named, or the end of them (None)."""
        await super().add_remote_candidate(remote_candidate)
        if remote_candidate is not None:
            self._take_dtls_from(remote_candidate.host, remote_candidate.port)

    def _take_dtls_from(self, host: str, port: int) -> None:
        """Take DTLS from an address of the peer: named by it, or proved by a check."""
        self.demux.register_remote(Address(host, port), self)

    # What the demultiplexer calls -----------------------------------------------------------

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        """Give a STUN message to the socket that it arrived at."""
        own_socket = self._sockets.get(local)
        if own_socket is not None:
            # aioice's parser lets struct.error out for attributes of a wrong length.
            with contextlib.suppress(struct.error):
                own_socket.datagram_received(message, source)

    def dtls_received(self, datagram: bytes) -> None:
        """Queue a datagram for DTLS, unless too many wait."""
        if self._queue.qsize() < limits.ICE_DATAGRAMS_WAITING:
            super().data_received(datagram, COMPONENT)

    def records_received(self, buffers: RecordBuffers) -> None:
        """Pass application records on in bulk, if the link takes them so by now."""
        if self.take_records is not None:
            self.take_records(buffers)
            return
        for buffer, size in buffers:
            for datagram in split(buffer, size):
                self.dtls_received(datagram)

    def claim(self, remote: Address) -> Claim:
        """Of two owners there are none: this demultiplexer is the agent's own."""
        return Claim(b"", False, False, 0.0, None, 0)

    def remote_taken_over(self, remote: Address) -> None:
        """Never: this demultiplexer is the agent's own."""

    def data_received(self, data: bytes, component: int) -> None:
        """Drop what aioice takes for no STUN: DTLS does not come this way."""

    # What aioice calls ----------------------------------------------------------------------

    def build_request(self, pair: CandidatePair, nominate: bool) -> stun.Message:
        """A check whose transaction id comes from our randomness."""
        request = super().build_request(pair, nominate)
        request.transaction_id = self._prefix + self._rng.randbytes(8)
        return request

    def check_incoming(
        self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol
    ) -> None:
        """Take an authenticated check; a peer may not have more addresses than it needs."""
        known = any((c.host, c.port) == addr for c in self._remote_candidates)
        full = len(self._remote_candidates) >= limits.ICE_ADDRESSES_LEARNED
        if "PRIORITY" in message.attributes and (known or not full):
            super().check_incoming(message, addr, protocol)
            self._take_dtls_from(*addr)

    def respond_error(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        protocol: StunProtocol,
        error_code: tuple[int, str],
    ) -> None:
        """Answer a conflict of roles, and no request that failed authentication: no reflection."""
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
        pair = self._nominated.get(COMPONENT)
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

    async def close(self) -> None:
        """Close the sockets; no datagram has this agent for its owner any more."""
        await super().close()
        self.demux.release(self)

    async def get_event(self) -> ConnectionEvent | None:
        """The next event. Once closed aioice returns None at once, and its caller would spin."""
        return await super().get_event() or ConnectionClosed()

    @property
    def port(self) -> Port | None:
        """The socket that carries the link."""
        pair = self._nominated.get(COMPONENT)
        return None if pair is None else cast("Port", pair.protocol.transport)

    @property
    def nominated_pair(self) -> CandidatePair | None:
        """The pair of addresses that carries the link."""
        return self._nominated.get(COMPONENT)

    def outcomes(self) -> tuple[TriedPair, ...]:
        """The pairs in the check list."""
        return tuple(
            TriedPair(
                Address(*pair.local_addr[:2]),
                CandidateType(pair.local_candidate.type),
                Address(*pair.remote_addr[:2]),
                CandidateType(pair.remote_candidate.type),
                _OUTCOMES[pair.state],
            )
            for pair in self._check_list
        )
