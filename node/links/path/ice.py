"""ICE for one link, on the ports that the whole node shares: no socket and no task of its own."""

import asyncio
from collections.abc import Callable

from node.links.failure import LinkAttemptFailed
from node.links.path.doubted import DoubtedPath
from node.links.path.found_path import FoundPath, MeasuredPath
from node.links.path.naming import PairNames
from node.links.path.paths import LinkPaths, named
from node.links.path.peer_streams import PeerStreams
from node.links.path.remote_candidates import in_order
from node.links.punching.run import PunchRun
from node.links.punching.runs import PunchRuns
from node.links.relaying.run import RelayRun
from node.links.stages import Stage
from node.net.claim import Claim
from node.relay.port import RelayPort
from protocol.addresses import Address
from protocol.causes.cause import Cause
from protocol.causes.tried import TriedPair
from protocol.description import Description, IceCandidate
from protocol.errors import AlreadyOwned, ModswarmError, Overloaded
from protocol.ice.candidates import CandidateKind, IceCredentials
from protocol.ice.events import (
    AddressProved,
    ConsentDelayed,
    ConsentLost,
    CredentialsRetired,
    IceEvent,
    IceFailed,
    PairSelected,
    PathSilent,
)
from protocol.identity import PeerId
from protocol.punching.pairs import Way

_REFLEXIVE = CandidateKind.SERVER_REFLEXIVE

_RARELY_DIRECT_SOON = frozenset({Way.BIRTHDAY, Way.RELAY})
"""Where a link takes the first relay that works, and a direct path once a search has found one."""

_VANISHED = "the peer stopped answering"
_RELAY_VANISHED = "the relay of the path stopped answering"
_TAKEN = "another link with this peer has its place"


class IcePath(DoubtedPath):
    """The ICE side of one link, from its candidates to its end.

    `relays` are the allocations for it. `rank` decides between attempts
    of both sides at one link: it is the same for both. `alone`: there is no second one, whose DTLS
    would come from the same address, so a pair may be used before it is nominated. `relayed_only`:
    it goes by relays until the first restart; from then on where the direct path lost data lately.
    Raises Overloaded, AlreadyOwned when it is made.
    """

    def __init__(
        self,
        paths: LinkPaths,
        peer: PeerId,
        *,
        controlling: bool,
        rank: int = 0,
        alone: bool = False,
        relayed_only: bool = False,
    ) -> None:
        super().__init__(paths, peer)
        self._relayed_only = relayed_only or paths.relayed_only
        self._avoids_direct = False
        self._rank = rank
        self._alone = alone
        self._began_at = self._loop.time()
        self._opened_at: float | None = None
        self._secured = False
        self._heard = False
        self._credentials, prefix, self.agent = paths.make_agent(controlling=controlling)
        self._theirs: tuple[IceCandidate, ...] = ()
        self._found: asyncio.Future[None] = self._loop.create_future()
        self._path: FoundPath | None = None
        self._punches = PunchRuns()
        self.relays = RelayRun(paths.relays, peer, self.agent, self.flush, self._look_for_spare)
        self._names = PairNames(self.agent, self.relays.relay_at)
        self._streams = PeerStreams(paths.streams, peer, self.agent)
        self._restarts = False
        self._link_changed: Callable[[], None] = lambda: None
        self.ended_by: Cause | None = None
        """What ended the path, where it was more than a reason in words."""
        try:
            self._endpoint.demux.register_ufrag(self._credentials.ufrag, self)
            self._endpoint.demux.register_transactions(prefix, self)
        except ModswarmError:
            self._endpoint.demux.release(self)
            raise

    # The attempt, and each restart ------------------------------------------------------------

    def restart(self, without: Address | None = None) -> None:
        """Begin ICE anew: `describe` and `connect` once more. Raises Overloaded, AlreadyOwned.

        What is selected stays in use until another pair is, which is not of the base `without`.
        """
        credentials = self._paths.fresh_credentials()
        self._endpoint.demux.register_ufrag(credentials.ufrag, self)
        self._credentials = credentials
        self._avoids_direct = self._paths.relays.avoid_direct(self._peer)
        self._relayed_only = self._paths.relayed_only or self._avoids_direct
        self.agent.restart(credentials, without)
        self._punches.end(self.base)
        self.relays.begin_again()
        self._found = self._loop.create_future()
        self._restarts = True
        self.flush()

    @property
    def avoids_direct(self) -> bool:
        """Whether no direct pair is looked for since the last restart."""
        return self._avoids_direct

    def describe(self, fingerprint: bytes, role: int) -> Description:
        """What the peer must know; at once. Raises LinkAttemptFailed without any candidate."""
        candidates = [] if self._relayed_only else self._paths.candidates()
        if not candidates and not self._relayed_only:
            raise LinkAttemptFailed(Stage.ICE, "no candidate to name", cause=Cause.NO_ADDRESS)
        self._names.described(candidates)
        now = self._loop.time()
        for one in candidates:
            self.agent.add_local(one.kind, one.address, one.base, now)
        if not self._paths.relayed_only:
            self._streams.begin(now)
        ufrag, password = self._credentials
        return Description(ufrag, password, fingerprint, role, named(candidates))

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
        waits_s = punch.plan.checks_after_s if punch is not None else 0.0
        self.agent.start(
            IceCredentials(remote.ufrag, remote.password),
            now,
            round_trip_s=round_trip_s,
            hold_off_until=now + waits_s,
            waits_for_direct=punch is not None and punch.plan.way not in _RARELY_DIRECT_SOON,
        )
        self.relays.agent_started()
        if punch is not None:
            self._punches.add(punch)
            punch.begin(list(self._endpoint.addresses.values()))
        ours = [one.address for one in self._names.ours if one.kind is _REFLEXIVE]
        theirs = () if self._avoids_direct else remote.candidates
        for candidate in in_order(theirs, ours):
            self.agent.add_remote(CandidateKind(candidate.kind), candidate.address, now)
        self._streams.name(now)
        if not self.relays.under_way:
            self.agent.end_of_candidates()
        self.flush()
        await self._found

    def link_opened(self, path_changed: Callable[[], None]) -> None:
        """The attempt has become a link; `path_changed` is called when it goes by another pair."""
        self._opened_at = self._loop.time()
        self._link_changed = path_changed
        self.end_other_relays()

    def peer_heard(self) -> None:
        """A record of the peer has come that DTLS could open: the path carries more than checks."""
        self._heard = True
        self.end_other_relays()

    def end_other_relays(self) -> None:
        """Of the relays that in use and a second are needed once a link carries records."""
        if self._carries:
            self.relays.end(self.base)

    @property
    def _carries(self) -> bool:
        return self._opened_at is not None and self._heard

    def tried(self) -> tuple[TriedPair, ...]:
        """The pairs of addresses so far, with their outcomes."""
        return self._names.tried()

    def found_path(self) -> FoundPath:
        """The pair that is in use, or was last; raises LookupError before `connect` returned."""
        if self._path is None:
            raise LookupError("there is no connection yet")
        if self._ended or self._pair is None:
            return self._path
        return self._names.as_now(self._path, self._pair.base)

    def paths(self) -> tuple[MeasuredPath, ...]:
        """The path in use, and then those that are kept beside it; none if no pair is selected."""
        if self._ended:
            return ()
        reports = self.agent.paths(self._loop.time())
        return tuple(
            MeasuredPath(self._names.path_of(one.base, one.remote), one) for one in reports
        )

    # The handshake ----------------------------------------------------------------------------

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

    # What the demultiplexer calls -------------------------------------------------------------

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        """Give the agent a message; raises RemoteError for one that it refuses."""
        try:
            self.agent.receive(message, source, local, self._loop.time())
        finally:
            self.flush()

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
            self.end(_TAKEN)

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
            if datagrams:
                self._await_answer()
            for data, base, remote, ttl in datagrams:
                self._endpoint.sendto(data, remote, base, ttl)
        self._set_timer()

    def _set_timer(self) -> None:
        self.beat.set(self._wake, None if self._ended else self.agent.wake_at)

    def _happened(self, event: IceEvent) -> None:
        match event:
            case AddressProved():
                self._endpoint.demux.expect_dtls(event.remote, self)
            case PairSelected():
                self._selected(event)
            case CredentialsRetired():
                self._endpoint.demux.unregister_ufrag(event.ufrag)
            case ConsentDelayed():
                self._tell_doubt(event.asked_at)
            case PathSilent():
                self.relays.doubt(event.base)
                self._look_for_spare()
            case IceFailed():
                self._fail(self._names.why_none(self._theirs))
            case ConsentLost():
                silent = isinstance(self._port, RelayPort) and self._port.is_silent
                self.end(_RELAY_VANISHED if silent else _VANISHED, Cause.PATH_LOST)

    def _selected(self, pair: PairSelected) -> None:
        """Send by a pair from now on.

        One that works may be used before it is nominated (RFC 8445, 12.1), unless its address is
        another link's: a claim to that needs the nomination.
        """
        demux = self._endpoint.demux
        try:
            if pair.nominated:
                demux.register_remote(pair.remote, self)
            elif not self._is_only_link or not demux.register_free_remote(pair.remote, self):
                return
        except AlreadyOwned as error:
            self.end(str(error), Cause.ADDRESS_TAKEN)
            return
        except Overloaded as error:
            self.end(str(error), Cause.OWN_LINKS_FULL)
            return
        before = self._pair
        self._send_by(pair)
        self._path = self._names.path_of(pair.base, pair.remote)
        if pair.relayed and not self._carries:
            self.relays.watch(pair.base, pair.round_trip_s)
        elif pair.relayed or pair.nominated:
            self.relays.end(pair.base)
        if pair.nominated and not pair.relayed:
            self._punches.end(self.base)
        if not self._found.done():
            self._found.set_result(None)
        # A restart may end with the pair that was in use: then our own mapping was what changed.
        is_new = before is None or (before.base, before.remote) != (pair.base, pair.remote)
        if before is not None and is_new and before.relayed and pair.relayed and not self._secured:
            self.datagrams.begin_anew()
        if is_new or self._restarts:
            self._restarts = False
            self._tell_path_changed()
        if pair.relayed and self._watcher is not None:
            self._watcher.relayed()

    def _tell_path_changed(self) -> None:
        super()._tell_path_changed()
        self._loop.call_soon(self._link_changed)

    @property
    def _is_only_link(self) -> bool:
        return self._alone or self._opened_at is not None

    def _fail(self, reason: str) -> None:
        if not self._found.done():
            self._found.set_exception(LinkAttemptFailed(Stage.ICE, reason))
            self._found.exception()  # retrieved, as perhaps no task is waiting

    # The end ----------------------------------------------------------------------------------

    def end(self, reason: str, cause: Cause | None = None) -> None:
        """The path is of no use any more; `ended` and `ended_by` say why from now on."""
        if not self._ended:
            self._ended, self.ended_by = reason, cause
        self._punches.end(self.base)
        self.relays.end(self.base)
        self._fail(reason)
        self.datagrams.end()

    async def close(self) -> None:
        """Let go of everything, at any stage."""
        self.end("closed by us")
        self.beat.set(self._wake, None)
        self._endpoint.demux.release(self)
        self._carry_no_more()
        self._watcher = None
        self._link_changed = lambda: None
        await self._punches.close()
        await self.relays.close()
