"""ConnectivityChecks checks of one generation (RFC 8445, 6.1.4 and 7), from its start on."""

from collections.abc import Callable
from math import inf

from protocol import limits
from protocol.addresses import Address
from protocol.errors import Malformed, NotAuthentic, UnexpectedReply
from protocol.ice.candidates import IceCredentials
from protocol.ice.check_messages import IncomingCheck
from protocol.ice.checker import Checker
from protocol.ice.checklist import Base, Checklist
from protocol.ice.core import IceCore
from protocol.ice.events import AddressProved
from protocol.ice.pairs import CandidatePair, PairEvent, PairOutcome, PairState
from protocol.ice.selection import Selection
from protocol.ice.transactions import OutgoingCheck, Purpose
from protocol.ice.unproved import CHECK_IN_NETWORK_S, UnprovedBudget
from protocol.stun.attributes import Attribute, ErrorCode
from protocol.stun.message import StunClass, StunMessage, has_integrity


class ConnectivityChecks:
    """Checks the pairs of a checklist, and answers for what the checks find out.

    `given_up` is called once no pair is left to try, `lost` once the peer answers no more.
    """

    def __init__(
        self,
        core: IceCore,
        checklist: Checklist,
        own: IceCredentials,
        remote: IceCredentials,
        now: float,
        *,
        budget_bytes: int,
        round_trip_s: float | None,
        hold_off_until: float,
        waits_for_direct: bool,
        given_up: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        self._core = core
        self._settings = core.settings
        self._checklist = checklist
        self._waits_for_direct = waits_for_direct
        self._given_up = given_up
        self._budget = UnprovedBudget(budget_bytes, core.allowance)
        self._checker = Checker(
            core, own, remote, self._budget, round_trip_s, self._unanswered, self._delayed
        )
        self.selection = Selection(core, checklist, self._checker, self._direct_may_come, lost)
        self._told_proved: set[tuple[Address, Address]] = set()
        self._started_at = now
        self._direct_since = max(now, hold_off_until)
        self._may_check_at = now
        self._check_at = now
        self._ended = False
        self._told_failure = False
        self._openers = 0

    @property
    def remote_ufrag(self) -> bytes:
        """The ufrag of the peer, which its checks must name."""
        return self._checker.remote_ufrag

    def expects(self, transaction: bytes) -> bool:
        """Whether a check with this transaction id may still be answered."""
        return transaction in self._checker.transactions

    # What the caller does -------------------------------------------------------------------

    def candidates_changed(self, now: float) -> None:
        """There are new pairs, or old ones to check again."""
        self._told_failure = False
        self._schedule(now)
        self._send_next(now)

    def end_of_candidates(self) -> None:
        """The peer names no more addresses."""
        self._ended = True

    def hold_off(self, until: float, now: float) -> None:
        """Check no direct pair on our own account before `until`; triggered checks go out."""
        self._direct_since = max(self._started_at, until)
        self._schedule(now)

    def open_firewall(
        self, opener: bytes, base: Base, remote: Address, ttl: int, now: float
    ) -> bool:
        """Send an opener; False if that is more than an unproved address may get."""
        if self._openers >= limits.ICE_OPENERS or not base.reaches(remote):
            return False
        if not self._budget.take_bytes(remote, len(opener), now):
            return False
        self._openers += 1
        self._core.send(opener, base.address, remote, ttl)
        return True

    def probe(self, base: Base, remote: Address, now: float) -> bool:
        """Send one check to an address that is no candidate."""
        return base.reaches(remote) and self._checker.probe(
            base.address, base.kind, base.priority, remote, now
        )

    def take_besides(self, remote: Address, size: int, now: float) -> bool:
        """Whether so many bytes besides checks may go to an address of the peer's choice."""
        return self._budget.take_bytes(remote, size, now)

    def vouch(self, host: str, now: float) -> None:
        """Do not bound what an IP address gets soon."""
        self._budget.vouch(host, now)

    def dropped(self, pairs: list[CandidatePair], now: float) -> None:
        """These pairs are gone with their base."""
        for pair in pairs:
            self._checker.transactions.cancel(pair, consent=True)
            self.selection.dropped(pair, now)
        self._schedule(now)

    # Checks of the peer ---------------------------------------------------------------------

    def checked(
        self, check: IncomingCheck, source: Address, base: Base, extra_bytes: int, now: float
    ) -> None:
        """A check of the peer was authentic, and has been answered (RFC 8445, 7.3.1.3 to 5).

        `extra_bytes`: by how much it was longer than its answer.
        """
        is_new = not self._checklist.has_pair(base.address, source)
        pair = self._checklist.learn_pair(base, source, check.priority)
        if pair is None:
            return
        self._budget.heard(source, extra_bytes, now)
        pair.heard(now)
        self._prove(source, base.address)
        selection = self.selection
        if check.nominates and not self._core.controlling:
            selection.asked(pair, check.nomination, now)
        if is_new:
            selection.peer_moved(pair, now)
        if pair.state is not PairState.SUCCEEDED and (
            selection.wants(pair) or is_new or check.nominates
        ):
            self._trigger(pair)
        self._schedule(now)
        self._send_next(now)

    def _trigger(self, pair: CandidatePair) -> None:
        """Check a pair before all others, also if its check is under way (RFC 8445, 7.3.1.4)."""
        if pair.state is PairState.IN_PROGRESS:
            self._checker.transactions.cancel(pair)
        pair.apply(PairEvent.TRIGGERED)
        self._checklist.trigger(pair)

    def _prove(self, remote: Address, base: Address) -> None:
        if (remote, base) not in self._told_proved:
            self._told_proved.add((remote, base))
            self._core.tell(AddressProved(remote, base))

    # Answers to our checks ------------------------------------------------------------------

    def answered(
        self, message: StunMessage, data: bytes, source: Address, local: Address, now: float
    ) -> None:
        """Take a response; raises UnexpectedReply, NotAuthentic, Malformed.

        One from another address than the check went to is not believed (RFC 8445, 7.2.5.2.1).
        """
        check = self._checker.transactions.get(message.transaction)
        if check is None:
            raise UnexpectedReply("a response to no check")
        if not has_integrity(data, message, self._checker.key):
            raise NotAuthentic("a response to a check without the peer's password")
        pair = check.pair
        if source != pair.remote.address or local != pair.base:
            pair.note(PairOutcome.OTHER_ADDRESS)
            raise UnexpectedReply("a response to a check from another address")
        if message.kind is StunClass.ERROR:
            self._refused(check, message, now)
        else:
            mapped = message.address(Attribute.XOR_MAPPED_ADDRESS)
            if mapped is None:
                raise Malformed("a response to a check without XOR-MAPPED-ADDRESS")
            self._succeeded(check, mapped, now)
        self._schedule(now)
        self._send_next(now)

    def _succeeded(self, check: OutgoingCheck, mapped: Address, now: float) -> None:
        transactions = self._checker.transactions
        transactions.end(check)
        is_probe = check.purpose is Purpose.PROBE
        pair = self._checklist.pair_of_probe(check.pair) if is_probe else check.pair
        if pair is None:
            return
        transactions.cancel(pair)
        self._budget.answered(pair.remote.address, now)
        self._prove(pair.remote.address, pair.base)
        took_s = now - check.first_sent_at
        pair.answered(check.round_trip_s(now), took_s, mapped, now, check.transmissions)
        self.selection.succeeded(pair, now, check.purpose)

    def _refused(self, check: OutgoingCheck, message: StunMessage, now: float) -> None:
        """An error response (RFC 8445, 7.2.5.1 and 7.2.5.2.4)."""
        error = message.error()
        if error is None:
            raise Malformed("an error response without ERROR-CODE")
        pair = check.pair
        self._checker.transactions.end(check)
        has_switched = check.controlling != self._core.controlling
        if error[0] == ErrorCode.ROLE_CONFLICT and (has_switched or self._core.may_switch_role):
            if not has_switched:
                self._core.renew_tie_breaker()
                self.switch_role(now)
            if check.purpose is Purpose.CONNECTIVITY and pair.state is not PairState.SUCCEEDED:
                pair.apply(PairEvent.CHECKED_AGAIN)
                self._checklist.trigger(pair)
            return
        pair.note(PairOutcome.REFUSED, error[0])
        self._unanswered(check, now, PairEvent.REFUSED)

    def switch_role(self, now: float) -> None:
        """Take the other role, after a conflict."""
        self._core.switch_role()
        self._checklist.switch_role(controlling=self._core.controlling)
        self.selection.role_switched(now)

    def _unanswered(
        self, check: OutgoingCheck, now: float, event: PairEvent = PairEvent.UNANSWERED
    ) -> None:
        if check.cancelled:
            return
        check.pair.quality.lost(check.transmissions)
        if check.purpose is Purpose.CONSENT:
            self.selection.unanswered(check.pair, now)
            self._schedule(now)
        elif check.purpose is Purpose.UPKEEP:
            self.selection.kept_unanswered(check.pair)
        elif check.purpose is Purpose.CONNECTIVITY and check.pair.state is PairState.IN_PROGRESS:
            check.pair.apply(event)

    def _delayed(self, check: OutgoingCheck, now: float) -> None:
        self.selection.delayed(check.pair, now)

    # Time -----------------------------------------------------------------------------------

    def wake_at(self) -> float:
        """When `wake` is due, perhaps in the past; inf if nothing is waited for."""
        return min(
            self._check_at,
            self._checker.next_due(),
            self.selection.wake_at(),
            self.selection.relay_at(self._direct_since),
            self._failure_at(),
        )

    def wake(self, now: float) -> None:
        """Do what is due."""
        self._checker.repeat(now)
        self.selection.wake(now)
        if now >= self.selection.relay_at(self._direct_since):
            self.selection.use_relay(now)
        self._send_next(now)
        if now >= self._failure_at():
            self._told_failure = True
            self._given_up()

    def _failure_at(self) -> float:
        """When to say that no pair works; inf while one may, or does."""
        if self._told_failure or not self._ended or self.selection.selected is not None:
            return inf
        if any(self._may_succeed(pair) for pair in self._checklist):
            return inf
        return self._started_at + self._settings.patience_s

    def _may_succeed(self, pair: CandidatePair) -> bool:
        if pair.state is PairState.WAITING:
            return self._checker.may_check(pair)
        return pair.state is not PairState.FAILED

    def _direct_may_come(self) -> bool:
        return self._waits_for_direct and (
            not self._ended
            or any(self._may_succeed(pair) for pair in self._checklist if not pair.relayed)
        )

    def _schedule(self, now: float) -> None:
        """Look for a check to send, as soon as Ta is over."""
        self._check_at = min(self._check_at, max(now, self._may_check_at))

    def _send_next(self, now: float) -> None:
        """Send one check, if its time has come (RFC 8445, 6.1.4.2)."""
        if now < self._check_at:
            return
        self._check_at = inf
        if self._send_triggered(now) or self._send_ordinary(now):
            self._may_check_at = now + self._settings.pacing_s
            self._check_at = self._may_check_at

    def _send_triggered(self, now: float) -> bool:
        while (pair := self._checklist.next_triggered()) is not None:
            if self._checker.check(pair, now):
                return True
        return False

    def _send_ordinary(self, now: float) -> bool:
        waiting = self._checklist.waiting()
        if waiting and self.selection.is_final:
            waiting = [pair for pair in waiting if self.selection.wants(pair)]
        for pair in waiting:
            if not pair.relayed and now < self._direct_since:
                self._check_at = min(self._check_at, self._direct_since)
            elif not self._checker.may_check(pair):
                pair.note(PairOutcome.NO_BUDGET)
            elif self._checker.check(pair, now, pairs=len(waiting)):
                return True
            else:  # its network has had all that it may get now
                self._check_at = min(self._check_at, now + CHECK_IN_NETWORK_S)
        return False
