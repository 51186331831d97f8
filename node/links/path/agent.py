"""aioice's ICE agent, with our addresses and our randomness, and deaf to strangers.

aioice hands whatever arrives from anybody to DTLS (where an empty datagram ends the connection),
answers requests that nobody authenticated, lets a peer add addresses without bound, and takes its
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

from node.environment import Environment
from node.links.secure.dtls_records import APPLICATION_DATA
from node.links.settings import LinkSettings
from node.net.udp.opening import open_port
from node.net.udp.port import Arrival, Port, PortUser, split
from protocol import limits
from protocol.addresses import Address
from protocol.description import CandidateKind, priority

_log = logging.getLogger(__name__)

COMPONENT = 1

_STUN_FIRST_BYTES = range(4)
_DTLS_FIRST_BYTES = range(20, 64)

_ROLE_CONFLICT = 487
"""The error code of RFC 8445, 7.3.1.1."""

_CONSENT_RETRANSMISSIONS = 2
"""The answer may take 3.5 s (0.5 + 1 + 2), so that a slow path is not taken for a dead one."""

_OUTCOMES = {
    CandidatePair.State.FROZEN: "not tried",
    CandidatePair.State.WAITING: "not tried",
    CandidatePair.State.IN_PROGRESS: "no answer",
    CandidatePair.State.SUCCEEDED: "answered",
    CandidatePair.State.FAILED: "failed",
}


RecordBuffers = list[tuple[bytes, int]]
"""Buffers of DTLS application records, each with the size of the datagrams in it."""


class _Socket(StunProtocol, PortUser):
    """One UDP socket: tells STUN from DTLS by the first byte (RFC 7983) and drops the rest."""

    receiver: "Agent"

    def burst_received(self, burst: list[Arrival]) -> None:
        """Pass application records on in bulk, and everything else one by one."""
        agent = self.receiver
        take = agent.take_records
        buffers: RecordBuffers = []
        for buffer, size, source in burst:
            first_bytes = buffer[:: size or 1]
            records = first_bytes.count(APPLICATION_DATA) == len(first_bytes) > 0
            if records and take is not None:
                if agent.knows(source[0], source[1]):
                    buffers.append((buffer, size))
                continue
            for datagram in split(buffer, size):
                self.datagram_received(datagram, source)
        if buffers and take is not None:
            take(buffers)

    def resume_writing(self) -> None:
        """The socket takes datagrams again."""
        if self.receiver.writable is not None:
            self.receiver.writable()

    def datagram_received(self, data: bytes | str, addr: tuple[object, ...]) -> None:
        if not data or isinstance(data, str):
            return
        if data[0] in _DTLS_FIRST_BYTES:
            if self.receiver.knows(str(addr[0]), addr[1]):
                self.receiver.data_received(data, COMPONENT)
        elif data[0] in _STUN_FIRST_BYTES:
            # aioice's parser lets struct.error out for attributes of a wrong length.
            with contextlib.suppress(struct.error):
                super().datagram_received(data, addr)


class Agent(Connection):
    """aioice's agent. Its own gathering, consent checks and answers to strangers are replaced.

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
        self._last_known: tuple[str, object] | None = None
        self.consent_lost = False
        self.take_records: Callable[[RecordBuffers], None] | None = None
        self.writable: Callable[[], None] | None = None

    async def gather_candidates(self) -> None:
        """Open a socket on each address; those that cannot be bound are left out."""
        for address in self._addresses:
            user = _Socket(self)
            try:
                port = await open_port(user, address, 0, self._udp_socket)
            except OSError as error:
                _log.info("no socket on %s: %s", address, error)
                continue
            self._add_socket(port, user)
        self._local_candidates_end = True

    def _add_socket(self, port: Port, protocol: _Socket) -> None:
        host, number = port.get_extra_info("sockname")[:2]
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

    def outcomes(self) -> list[str]:
        """One line for each pair of addresses in the check list."""
        return [
            f"{_text(pair.local_addr)} to {_text(pair.remote_addr)}: {_OUTCOMES[pair.state]}"
            for pair in self._check_list
        ]


def _text(address: tuple[str, int]) -> str:
    return str(Address(*address[:2]))
