"""ICE for one link, on the ports that the whole node shares: no socket and no task of its own."""

import asyncio
from collections.abc import Callable

from node.links.failure import LinkAttemptFailed
from node.links.path.datagrams import DtlsDatagrams
from node.links.path.found_path import FoundPath
from node.links.path.paths import LinkPaths
from node.links.path.remote_candidates import in_order
from node.links.punching.run import PunchRun
from node.links.relaying.run import RelayRun
from node.links.stages import Stage
from node.net.claim import Claim
from node.net.demux import RecordBuffers
from node.net.udp.port import Port, split
from node.relay.port import RelayPort
from protocol.addresses import Address
from protocol.causes.cause import Cause
from protocol.causes.tried import TriedPair
from protocol.description import Description, IceCandidate
from protocol.errors import ModswarmError
from protocol.ice.candidates import CandidateKind, IceCredentials, LocalCandidate
from protocol.ice.events import (
    AddressProved,
    ConsentLost,
    CredentialsRetired,
    IceEvent,
    IceFailed,
    PairSelected,
)
from protocol.ice.pairs import PairReport
from protocol.identity import PeerId
from protocol.punching.pairs import Way

_REFLEXIVE = CandidateKind.SERVER_REFLEXIVE

_RARELY_DIRECT_SOON = frozenset({Way.BIRTHDAY, Way.RELAY})
"""Where a link takes the first relay that works, and a direct path once a search has found one."""

_VANISHED = "the peer stopped answering"
_RELAY_VANISHED = "the relay of the path stopped answering"
_TAKEN = "another link with this peer has its place"


class IcePath:
    """The ICE side of one link, from its candidates to its end.

    `datagrams` are those of DTLS, `relays` the allocations for it. `rank` decides between attempts
    of both sides at one link: it is the same for both. `alone`: there is no second one, whose DTLS
    would come from the same address, so a pair may be used before it is nominated. Raises
    Overloaded, AlreadyOwned when it is made.
    """

    def __init__(
        self,
        paths: LinkPaths,
        peer: PeerId,
        *,
        controlling: bool,
        rank: int = 0,
        alone: bool = False,
    ) -> None:
        self._paths = paths
        self._endpoint = paths.endpoint
        self._loop = paths.loop
        self._peer = peer
        self._rank = rank
        self._alone = alone
        self._began_at = self._loop.time()
        self._opened_at: float | None = None
        self._secured = False
        self._credentials, prefix, self.agent = paths.make_agent(controlling=controlling)
        self._candidates: list[LocalCandidate] = []
        self._theirs: tuple[IceCandidate, ...] = ()
        self._found: asyncio.Future[None] = self._loop.create_future()
        self._pair: PairSelected | None = None
        self._path: FoundPath | None = None
        self._port: Port | None = None
        self._punch: PunchRun | None = None
        self.relays = RelayRun(paths.relays, peer, self.agent, self.flush)
        self._ended = ""
        self._take_records: Callable[[RecordBuffers], None] | None = None
        self._writable: Callable[[], None] | None = None
        self._path_changed: Callable[[], None] | None = None
        self.datagrams = DtlsDatagrams(self._send)
        try:
            self._endpoint.demux.register_ufrag(self._credentials.ufrag, self)
            self._endpoint.demux.register_transactions(prefix, self)
        except ModswarmError:
            self._endpoint.demux.release(self)
            raise

    # The attempt ------------------------------------------------------------------------------

    def describe(self, fingerprint: bytes, role: int, *, takes_bursts: bool = False) -> Description:
        """What the peer must know; at once. Raises LinkAttemptFailed without any candidate."""
        self._candidates = self._paths.candidates()
        if not self._candidates and not self._paths.relayed_only:
            raise LinkAttemptFailed(Stage.ICE, "no candidate to name", cause=Cause.NO_ADDRESS)
        now = self._loop.time()
        for one in self._candidates:
            self.agent.add_local(one.kind, one.address, one.base, now)
        named = tuple(IceCandidate(one.kind, one.address) for one in self._candidates)
        ufrag, password = self._credentials
        return Description(ufrag, password, fingerprint, role, named, takes_bursts)

    async def connect(
        self,
        remote: Description,
        punch: PunchRun | None = None,
        round_trip_s: float | None = None,
    ) -> None:
        """Find a pair of addresses that works; raises LinkAttemptFailed. Has no time limit.

        `punch` opens the routers on the way, and is ended with the path. `round_trip_s`: how long
        the call took, or what else is known of the way to the peer.
        """
        now = self._loop.time()
        self._theirs = remote.candidates
        self._punch = punch
        waits_s = punch.plan.checks_after_s if punch is not None else 0.0
        self.agent.start(
            IceCredentials(remote.ufrag, remote.password),
            now,
            round_trip_s=round_trip_s,
            hold_off_until=now + waits_s,
            waits_for_direct=punch is not None and punch.plan.way not in _RARELY_DIRECT_SOON,
        )
        if punch is not None:
            punch.begin(list(self._endpoint.addresses.values()))
        ours = [one.address for one in self._candidates if one.kind is _REFLEXIVE]
        for candidate in in_order(remote.candidates, ours):
            self.agent.add_remote(CandidateKind(candidate.kind), candidate.address, now)
        if not self.relays.under_way:
            self.agent.end_of_candidates()
        self.flush()
        await self._found

    @property
    def round_trip_s(self) -> float | None:
        """What checks measured of the selected pair."""
        return self._pair.round_trip_s if self._pair is not None else None

    def link_opened(self) -> None:
        """The attempt has become a link."""
        self._opened_at = self._loop.time()
        self.relays.end(self._base)

    def tried(self) -> tuple[TriedPair, ...]:
        """The pairs of addresses so far, with their outcomes."""
        return tuple(
            TriedPair(*self._local_end(row), *self._remote_end(row), row.outcome)
            for row in self.agent.report()
        )

    def found_path(self) -> FoundPath:
        """The pair that is in use, or was last; raises LookupError before `connect` returned."""
        if self._path is None:
            raise LookupError("there is no connection yet")
        return self._path

    def _path_of(self, pair: PairSelected) -> FoundPath:
        ends = pair.base, pair.remote
        row = next(row for row in self.agent.report() if (row.base, row.remote) == ends)
        relay = self.relays.relay_at(row.base)
        relay_id = relay.peer_id if relay is not None else None
        return FoundPath(*self._local_end(row), *self._remote_end(row), relay_id)

    def _local_end(self, row: PairReport) -> tuple[Address, CandidateKind]:
        """Our address of a pair: what the peer saw, or could have seen of a socket's many."""
        relay = self.relays.relay_at(row.base)
        if relay is not None:
            return relay.address, CandidateKind.RELAYED
        of_base = [one for one in self._candidates if one.base == row.base]
        address = row.mapped or (of_base[0].address if of_base else row.base)
        kinds = {one.address: one.kind for one in of_base}
        return address, kinds.get(address, CandidateKind.PEER_REFLEXIVE)

    def _remote_end(self, row: PairReport) -> tuple[Address, CandidateKind]:
        """The peer's address of a pair; that of the relay where it stands for the relay's."""
        relay = self.relays.relay_at(row.base)
        return relay.address if relay is not None else row.remote, row.remote_kind

    # What carries the link --------------------------------------------------------------------

    def carry_records(
        self,
        take: Callable[[RecordBuffers], None],
        writable: Callable[[], None],
        path_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Give application records to `take` from now on, and tell when `full` is over."""
        # DTLS is made of the ICE path, and takes records only after its handshake.
        self._take_records, self._writable = take, writable
        self._path_changed = path_changed
        self._endpoint.call_when_writable(writable)

    @property
    def full(self) -> bool:
        """Whether the port takes nothing more at present."""
        port = self._port
        return port is not None and port.full

    def send_segments(self, buffer: bytes, size: int) -> None:
        """Send a buffer to the peer as datagrams of `size` bytes, the last of what is left."""
        if self._port is not None and self._pair is not None:
            self._port.send_segments(buffer, size, self._pair.remote)

    def send_whole(self, datagram: bytes) -> bool:
        """Send a datagram that no router may fragment; False if that cannot be asked for."""
        if self._port is None or self._pair is None:
            return False
        return self._port.send_whole(datagram, self._pair.remote)

    def leave_relay(self) -> bool:
        """Leave a relay over which DTLS broke; `datagrams` tell once another carries the path.

        False where the path goes directly, or no other relay is left. Only the controlling side
        leaves a relay, and the other follows it.
        """
        pair = self._pair
        if self._ended or pair is None:
            return False
        if self.datagrams.has_new_way:
            return True
        return pair.relayed and (not self.agent.controlling or self.relays.leave(pair.base))

    def secured(self) -> None:
        """DTLS is up: it stays so whichever way the path goes from now on."""
        self._secured = True

    def doubt(self) -> None:
        """What was sent is not acknowledged: our mapping may be lost, so check the pair now."""
        if not self._ended:
            self.agent.check_now(self._loop.time())
            self.flush()

    def _send(self, datagram: bytes) -> None:
        self.send_segments(datagram, len(datagram))

    # What the demultiplexer calls -------------------------------------------------------------

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        """Give the agent a message; raises RemoteError for one that it refuses."""
        try:
            self.agent.receive(message, source, local, self._loop.time())
        finally:
            self.flush()

    def dtls_received(self, datagram: bytes) -> None:
        """Queue a datagram for DTLS."""
        self.datagrams.put(datagram)

    def records_received(self, buffers: RecordBuffers) -> None:
        """Pass application records on in bulk, if the link takes them so by now."""
        if self._take_records is not None:
            self._take_records(buffers)
            return
        for buffer, size in buffers:
            for datagram in split(buffer, size):
                self.datagrams.put(datagram)

    def claim(self) -> Claim:
        """What speaks for this link's right to the DTLS from its peer's address."""
        return Claim(
            self._peer,
            is_fresh=self.agent.has_consent,
            began_at=self._began_at,
            opened_at=self._opened_at,
            rank=self._rank,
        )

    def remote_taken_over(self, remote: Address) -> None:
        """An attempt that has lost its way ends at once; of a link only consent tells."""
        if self._opened_at is None and self._pair is not None and self._pair.remote == remote:
            self._end(_TAKEN)

    # The agent --------------------------------------------------------------------------------

    def _wake(self) -> None:
        if not self._ended:
            self.agent.wake(self._loop.time())
            if isinstance(self._port, RelayPort) and not self.agent.has_consent:
                self._port.ask_relay()  # to tell, at the end, which of the two is gone
            self.flush()

    def flush(self) -> None:
        """Send and tell what the agent has to send and to tell, and set its timer."""
        datagrams, events = self.agent.take()
        for event in events:
            self._happened(event)
        # A nomination that another link's claim forbids must not reach the peer.
        if not self._ended:
            for data, base, remote, ttl in datagrams:
                self._endpoint.sendto(data, remote, base, ttl)
        self._set_timer()

    def _set_timer(self) -> None:
        self._paths.timer.set(self._wake, None if self._ended else self.agent.wake_at)

    def _happened(self, event: IceEvent) -> None:
        match event:
            case AddressProved():
                self._endpoint.demux.expect_dtls(event.remote, self)
            case PairSelected():
                self._selected(event)
            case CredentialsRetired():
                self._endpoint.demux.unregister_ufrag(event.ufrag)
            case IceFailed():
                self._fail(self._why_failed())
            case ConsentLost():
                silent = isinstance(self._port, RelayPort) and self._port.is_silent
                self._end(_RELAY_VANISHED if silent else _VANISHED)

    def _selected(self, pair: PairSelected) -> None:
        """Send by a pair from now on.

        One that works may be used before it is nominated (RFC 8445, 12.1), unless its address is
        another link's: a claim to that needs the nomination.
        """
        demux = self._endpoint.demux
        try:
            if pair.nominated:
                demux.register_remote(pair.remote, self)
            elif not self._alone or not demux.register_free_remote(pair.remote, self):
                return
        except ModswarmError as error:  # another link's claim stands, or there are too many
            self._end(str(error))
            return
        before, self._pair = self._pair, pair
        self._port = self._endpoint.port_at(pair.base)
        self._path = self._path_of(pair)
        if pair.relayed:
            if self._opened_at is None:
                self.relays.watch(pair.base)
        elif pair.nominated:
            self.relays.end(pair.base)
            if self._punch is not None:
                self._punch.end(pair.base)
        if not self._found.done():
            self._found.set_result(None)
        changed = before is None or (before.base, before.remote) != (pair.base, pair.remote)
        if before is not None and changed and before.relayed and pair.relayed and not self._secured:
            self.datagrams.begin_anew()
        if changed and self._path_changed is not None:
            self._loop.call_soon(self._path_changed)

    @property
    def _base(self) -> Address | None:
        """The base of the pair in use."""
        return self._pair.base if self._pair is not None else None

    def _why_failed(self) -> str:
        report = self.agent.report()
        return "no pair of addresses worked" if report else self._no_pairs()

    def _no_pairs(self) -> str:
        ours = ", ".join(str(one.address) for one in self._candidates)
        theirs = ", ".join(str(one.address) for one in self._theirs) or "none"
        return f"none of our addresses ({ours}) fits theirs ({theirs})"

    def _fail(self, reason: str) -> None:
        if not self._found.done():
            self._found.set_exception(LinkAttemptFailed(Stage.ICE, reason))
            self._found.exception()  # retrieved, as perhaps no task is waiting

    # The end ----------------------------------------------------------------------------------

    @property
    def ended(self) -> str:
        """Why the path has ended, if not because it was closed; else empty."""
        return self._ended

    @property
    def peer_vanished(self) -> bool:
        """Whether the path has ended because the peer stopped answering."""
        return self._ended in (_VANISHED, _RELAY_VANISHED)

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason
        if self._punch is not None:
            self._punch.end(self._base)
        self.relays.end(self._base)
        self._fail(reason)
        self.datagrams.end()

    async def close(self) -> None:
        """Let go of everything, at any stage."""
        self._end("closed by us")
        self._paths.timer.set(self._wake, None)
        self._endpoint.demux.release(self)
        if self._writable is not None:
            self._endpoint.call_no_more(self._writable)
        self._take_records = self._writable = self._path_changed = None
        self._port = None
        if self._punch is not None:
            await self._punch.close()
        await self.relays.close()
