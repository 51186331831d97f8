"""An ICE agent (RFC 8445) for one component over UDP, without input and output of its own.

The caller owns ports, clock and randomness:

    agent.add_local(kind, address, base, now)     also later, as relays and sockets come
    agent.start(remote_credentials, now)          once the peer's description is known
    agent.add_remote(kind, address, now)          before or after
    agent.end_of_candidates()
    agent.receive(message, source, local, now)    STUN to our ufrag, and with our transactions
    agent.wake(now)                               at `wake_at`
    agent.take()                                  after each of these: what to send and to tell

What a peer sends raises RemoteError and changes nothing else; what it drives is bounded in limits.
"""

from collections.abc import Callable, Collection
from math import inf

from protocol import limits
from protocol.addresses import Address
from protocol.errors import NotAuthentic, Unexpected, UnexpectedReply
from protocol.ice.candidates import CandidateKind, IceCredentials, LocalCandidate
from protocol.ice.check_messages import encode_opener
from protocol.ice.checklist import Bases
from protocol.ice.core import IceCore
from protocol.ice.events import ConsentLost, CredentialsRetired, IceFailed, IceOutput
from protocol.ice.pairs import CandidatePair, PairReport
from protocol.ice.paths.report import PathReport
from protocol.ice.session import IceSession
from protocol.ice.settings import IceSettings
from protocol.ice.unproved import NetworkAllowance
from protocol.randomness import Random
from protocol.stun.attributes import Attribute
from protocol.stun.message import StunClass, StunMethod, decode_stun


class IceAgent:
    """See the module.

    `transaction_prefix`: the first 4 bytes of the transaction ids of all our checks. `allowance` is
    one for all agents of a node. `goes_by_stream` tells of a relayed base whether its relay is
    reached by a stream now, as where UDP does not pass.
    """

    def __init__(
        self,
        *,
        controlling: bool,
        credentials: IceCredentials,
        transaction_prefix: bytes,
        rng: Random,
        settings: IceSettings,
        allowance: NetworkAllowance,
        goes_by_stream: Callable[[Address], bool] = lambda _base: False,
    ) -> None:
        self._core = IceCore(
            controlling=controlling,
            transaction_prefix=transaction_prefix,
            rng=rng,
            settings=settings,
            allowance=allowance,
            goes_by_stream=goes_by_stream,
        )
        self.goes_by_stream = goes_by_stream
        self._bases = Bases()
        self._locals: list[LocalCandidate] = []
        self._current = self._new_session(credentials)
        self._previous: IceSession | None = None

    def _new_session(
        self, credentials: IceCredentials, without: Address | None = None
    ) -> IceSession:
        given_up, lost = self._on_given_up, self._on_lost
        return IceSession(self._core, credentials, self._bases, given_up, lost, without)

    # Candidates -----------------------------------------------------------------------------

    @property
    def local_candidates(self) -> tuple[LocalCandidate, ...]:
        """What the peer may be told, in the order in which it was added."""
        return tuple(self._locals)

    def add_local(
        self,
        kind: CandidateKind,
        address: Address,
        base: Address,
        now: float,
        *,
        peer: Address | None = None,
        quiet: bool = False,
    ) -> None:
        """Add an address of ours, at any time; a base that is new is paired at once.

        `base` is the address that the port is bound to: what `receive` gets as `local`. `peer`: the
        only address that is reached from this base, as by a relay between its own allocations.
        `quiet`: checks leave from this base only where one has arrived, and by `open_firewall` and
        `probe`. Beyond ICE_BASES bases more are left out.
        """
        local = LocalCandidate(kind, address, base)
        if local in self._locals:
            return
        base_kind = kind if kind is CandidateKind.RELAYED else CandidateKind.HOST
        added = self._bases.add(base, base_kind, quiet=quiet, peer=peer)
        if added is not None:
            self._current.add_base(added, now)
        if self._bases.get(base) is not None:
            self._locals.append(local)

    def remove_local(self, base: Address, now: float) -> None:
        """Its port is gone: drop a base, its candidates and its pairs."""
        self._locals = [local for local in self._locals if local.base != base]
        self._bases.remove(base)
        for session in self._sessions():
            session.remove_base(base, now)

    def add_remote(
        self, kind: CandidateKind, address: Address, now: float, *, priority: int | None = None
    ) -> None:
        """Add an address of the peer, at any time; beyond ICE_ADDRESSES_LEARNED it is left out.

        Without a priority it gets the one that follows from its kind and its place in the order of
        adding.
        """
        self._current.add_remote(kind, address, priority, now)
        self._settle()

    def end_of_candidates(self) -> None:
        """The peer names no more addresses: without any pair left to try the agent may fail."""
        self._current.end_of_candidates()

    # Beginning ------------------------------------------------------------------------------

    def start(
        self,
        remote: IceCredentials,
        now: float,
        *,
        budget_bytes: int = limits.ICE_UNPROVED_BYTES,
        round_trip_s: float | None = None,
        hold_off_until: float = 0.0,
        waits_for_direct: bool = True,
    ) -> None:
        """Begin checks.

        `budget_bytes`: how much all addresses that have proved nothing may get, the size of the
        datagram that named them. `round_trip_s`: what is known of the way to the peer, for the wait
        before a check is repeated. `hold_off_until`: see `hold_off`. `waits_for_direct`: whether a
        relayed pair that works waits a while for a direct one, before it is nominated.
        """
        self._current.start(
            remote,
            now,
            budget_bytes=budget_bytes,
            round_trip_s=round_trip_s,
            hold_off_until=hold_off_until,
            waits_for_direct=waits_for_direct,
        )
        self._settle()

    def restart(self, credentials: IceCredentials, without: Address | None = None) -> None:
        """Begin anew with new credentials, the same bases and no remote candidates (RFC 8445, 9).

        Then `start` and `add_remote` again. What is selected stays so, with its consent checks,
        until a new pair is; CredentialsRetired tells then that the old ufrag is not used any more.
        A generation that has selected none is retired at once. The base at `without` makes no new
        pair: a link that is to leave it stays there until there is another way.
        """
        if self._current.selected is not None:
            self._previous = self._current
        else:
            self._core.tell(CredentialsRetired(self._current.credentials.ufrag))
        self._locals = []
        selected = self.selected
        self._core.begin_generation(None if selected is None else selected.base)
        self._current = self._new_session(credentials, without)
        for base in self._bases:
            self._current.checklist.add_base(base)

    # Punching -------------------------------------------------------------------------------

    def hold_off(self, until: float, now: float) -> None:
        """Check no direct pair before `until`, but for those that the peer's checks come by."""
        if self._current.connectivity is not None:
            self._current.connectivity.hold_off(until, now)

    def open_firewall(self, remote: Address, base: Address, ttl: int, now: float) -> bool:
        """Send one opener, a Binding indication of 20 bytes that asks for no answer.

        Its time to live lets it pass our own router, and end before the peer's: so it opens our
        filter, and the peer's router never takes it for an unasked datagram.
        False if it was not sent: before `start`, from no base, or beyond what addresses that have
        proved nothing may get. It counts among their bytes, and not among their checks.
        """
        connectivity, found = self._current.connectivity, self._bases.get(base)
        if connectivity is None or found is None:
            return False
        opener = encode_opener(self._core.new_transaction())
        return connectivity.open_firewall(opener, found, remote, ttl, now)

    def probe(self, remote: Address, base: Address, now: float) -> bool:
        """Send one check to an address that is no candidate, such as a guessed port.

        It makes a pair only if it is answered. False if it was not sent, as with `open_firewall`,
        or if too many checks are under way.
        """
        connectivity, found = self._current.connectivity, self._bases.get(base)
        return (
            connectivity is not None
            and found is not None
            and connectivity.probe(found, remote, now)
        )

    def take_besides(self, remote: Address, size: int, now: float) -> bool:
        """Whether the caller may send so many bytes besides checks to an address of the peer's
        choice, such as a relay or a witness; they count among those of unproved addresses.

        False before `start`.
        """
        connectivity = self._current.connectivity
        return connectivity is not None and connectivity.take_besides(remote, size, now)

    def vouch(self, host: str, now: float) -> None:
        """Do not bound what an IP address gets soon: others have shown that it is the peer's."""
        if self._current.connectivity is not None:
            self._current.connectivity.vouch(host, now)

    def try_again(self, now: float) -> None:
        """Check the pairs anew that have failed, as while a relayed one is selected."""
        self._current.try_again(now)
        self._settle()

    def check_now(self, now: float, *, is_sure: bool = True) -> None:
        """Ask for consent now, as the selected path seems to be gone.

        So the peer learns at once of a new mapping of ours, and an address that is gone is left
        within seconds. It is repeated soon, since a check every few seconds is no measure for that.
        `is_sure`: if not, data that arrive show that the path works.
        """
        for session in self._sessions():
            if session.connectivity is not None:
                session.connectivity.selection.ask_now(now, is_sure=is_sure)

    def data_arrived(self, carried_bytes: int, now: float) -> None:
        """Data of the peer have come lately; to be told a few times a second while they do.

        `carried_bytes`: how much the link has carried in all, of what the peer acknowledged or
        sent.
        """
        for session in self._sessions():
            if session.connectivity is not None:
                paths = session.connectivity.selection.paths
                paths.data_arrived(session.selected, carried_bytes, now)

    def leave_selected(self, now: float) -> bool:
        """Data do not pass by the selected pair, though checks do: go on by another that works.

        False where there is none. The pair is left alone for a while, longer each time.
        """
        for session in self._sessions():
            if session.selected is not None and session.connectivity is not None:
                return session.connectivity.selection.leave(now)
        return False

    def second_base(self, bases: Collection[Address], now: float) -> Address | None:
        """Of these bases that of the pair to keep beside the selected one; None if none works.

        The peer keeps the same if it asks a little later: the controlling side checks it now.
        """
        for session in self._sessions():
            if session.selected is not None and session.connectivity is not None:
                paths = session.connectivity.selection.paths
                second = paths.second(session.selected, bases, now)
                return None if second is None else second.base
        return None

    def has_spare(self, now: float) -> bool:
        """Whether a link goes on at once by another path if the selected one fails now."""
        for session in self._sessions():
            if session.selected is not None and session.connectivity is not None:
                return session.connectivity.selection.paths.has_spare(session.selected, now)
        return False

    # Datagrams and time ---------------------------------------------------------------------

    def receive(self, data: bytes, source: Address, local: Address, now: float) -> None:
        """Take a STUN message that arrived at the port bound to `local`; raises RemoteError."""
        message = decode_stun(data)
        if message.method is not StunMethod.BINDING:
            raise Unexpected("no method of ICE")
        if message.kind is StunClass.REQUEST:
            ufrag = (message.get(Attribute.USERNAME) or b"").partition(b":")[0]
            self._session_of(ufrag).request(message, data, source, local, now)
        elif message.kind is not StunClass.INDICATION:  # a keepalive, or an opener that came far
            for session in self._sessions():
                found = session.connectivity
                if found is not None and found.expects(message.transaction):
                    found.answered(message, data, source, local, now)
                    break
            else:
                raise UnexpectedReply("a response to no check")
        self._settle()

    def _session_of(self, ufrag: bytes) -> IceSession:
        for session in self._sessions():
            if session.ufrag == ufrag:
                return session
        raise NotAuthentic("a check for another ufrag")

    def _sessions(self) -> tuple[IceSession, ...]:
        return (self._current,) if self._previous is None else (self._current, self._previous)

    def wake(self, now: float) -> None:
        """Do what is due."""
        for session in self._sessions():
            if session.connectivity is not None:
                session.connectivity.wake(now)
        self._settle()

    @property
    def wake_at(self) -> float | None:
        """When to call `wake` next, at once if that is past; None: nothing is waited for.

        Look again after each other call.
        """
        earliest = min(
            session.connectivity.wake_at() if session.connectivity is not None else inf
            for session in self._sessions()
        )
        return None if earliest == inf else earliest

    def take(self) -> IceOutput:
        """Return what is to be sent and told since the last call."""
        return self._core.take()

    # Results --------------------------------------------------------------------------------

    @property
    def controlling(self) -> bool:
        """Our role, which a conflict may have changed."""
        return self._core.controlling

    @property
    def selected(self) -> CandidatePair | None:
        """The pair that carries the link."""
        for session in self._sessions():
            if session.selected is not None:
                return session.selected
        return None

    @property
    def has_consent(self) -> bool:
        """Whether a pair is selected, and its last consent check was not left unanswered."""
        return any(
            session.connectivity is not None and session.connectivity.selection.has_consent
            for session in self._sessions()
        )

    @property
    def answered_at(self) -> float:
        """When the selected pair was last known to work; -inf before there was one."""
        found = (session.connectivity for session in self._sessions())
        return max((one.selection.answered_at for one in found if one is not None), default=-inf)

    def paths(self, now: float) -> list[PathReport]:
        """The path that carries the link, and then those that are kept beside it; none before one
        is selected.
        """
        for session in self._sessions():
            if session.selected is not None and session.connectivity is not None:
                return session.connectivity.selection.paths.report(session.selected, now)
        return []

    def report(self) -> tuple[PairReport, ...]:
        """All pairs, those of the highest priority first, with what came of each."""
        return tuple(
            pair.report(selected=pair is session.selected)
            for session in self._sessions()
            for pair in session.checklist
        )

    # Between generations --------------------------------------------------------------------

    def _settle(self) -> None:
        if self._previous is not None and self._current.selected is not None:
            self._core.tell(CredentialsRetired(self._previous.credentials.ufrag))
            self._previous = None

    def _on_given_up(self) -> None:
        if self.selected is None:
            self._core.tell(IceFailed(self.report()))

    def _on_lost(self) -> None:
        self._core.tell(ConsentLost())
