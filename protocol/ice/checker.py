"""Sends the checks of one generation: what they say, their repetitions, and what they may cost."""

from collections.abc import Callable

from protocol.addresses import Address
from protocol.ice.candidates import CandidateKind, IceCredentials, RemoteCandidate, is_local_network
from protocol.ice.check_messages import CHECK_BYTES, NOMINATION_BYTES, encode_check
from protocol.ice.core import IceCore
from protocol.ice.events import ConsentDelayed
from protocol.ice.pairs import CandidatePair, PairEvent, PairOutcome
from protocol.ice.transactions import OutgoingCheck, Purpose, Transactions
from protocol.ice.unproved import UnprovedBudget
from protocol.turn.virtual import is_virtual

Unanswered = Callable[[OutgoingCheck, float], None]
"""Called with a check, and now."""


class Checker:
    """The sending half of one generation, made once the peer's credentials are known.

    `unanswered` is called with a check that was given up, `delayed` with one for consent that is to
    be repeated for the first time.
    """

    def __init__(
        self,
        core: IceCore,
        own: IceCredentials,
        remote: IceCredentials,
        budget: UnprovedBudget,
        round_trip_s: float | None,
        unanswered: Unanswered,
        delayed: Unanswered,
    ) -> None:
        self._core = core
        self._settings = core.settings
        self._username = f"{remote.ufrag}:{own.ufrag}".encode()
        self._budget = budget
        self._unanswered = unanswered
        self._delayed = delayed
        self._nominations = 0
        self.remote_ufrag = remote.ufrag.encode()
        self.key = remote.password.encode()
        self.transactions = Transactions()
        self._check_bytes = CHECK_BYTES + -(-len(self._username) // 4) * 4
        self._rto_s = _first_wait_s(core, round_trip_s)

    def check(self, pair: CandidatePair, now: float, *, pairs: int = 1) -> bool:
        """Check a pair (RFC 8445, 7.2). False if its address has used up what it may get now.

        `pairs` is how many wait or are in progress: more take longer, by turns (14.3).
        """
        settings = self._settings
        wait_s = max(self._rto_s, settings.pacing_s * pairs)
        is_lan = is_local_network(pair.remote.address.host)
        times = settings.transmissions_in_lan if is_lan else settings.transmissions
        if not self._send(pair, Purpose.CONNECTIVITY, now, wait_s, times):
            return False
        pair.apply(PairEvent.CHECK_SENT)
        return True

    def ask_consent(self, pair: CandidatePair, now: float, wait_s: float) -> None:
        """Ask whether the peer still wants what comes by this pair (RFC 7675, 5.1).

        `wait_s` is the first wait for an answer. From the controlling side it nominates as well, so
        that the peer follows to a new mapping of ours.
        """
        times = self._settings.consent_transmissions
        self._send(pair, Purpose.CONSENT, now, wait_s, times)

    def keep_up(self, pair: CandidatePair, now: float, wait_s: float, times: int) -> None:
        """Find out whether a pair that worked still does, and how well."""
        self._send(pair, Purpose.UPKEEP, now, wait_s, times)

    def probe(
        self,
        base: Address,
        base_kind: CandidateKind,
        base_priority: int,
        remote: Address,
        now: float,
    ) -> bool:
        """Send one check to an address that is no candidate, and repeat it never."""
        candidate = RemoteCandidate(CandidateKind.PEER_REFLEXIVE, remote, base_priority)
        pair = CandidatePair(base, base_kind, base_priority, candidate, self._core.controlling)
        return self._send(pair, Purpose.PROBE, now, self._settings.last_wait_s, 1)

    def _send(
        self, pair: CandidatePair, purpose: Purpose, now: float, wait_s: float, times: int
    ) -> bool:
        core = self._core
        nominates = core.controlling and purpose is Purpose.CONSENT
        size = self._check_bytes + NOMINATION_BYTES * nominates
        if self.transactions.full or not self._may_send(pair, now, size):
            return False
        self._nominations += nominates
        transaction = core.new_transaction()
        datagram = encode_check(
            transaction,
            username=self._username,
            priority=pair.base_priority,
            controlling=core.controlling,
            tie_breaker=core.tie_breaker,
            nominates=nominates,
            key=self.key,
            nomination=self._nominations,
        )
        check = OutgoingCheck(
            transaction, datagram, pair, purpose, core.controlling, now, wait_s, times - 1
        )
        self.transactions.add(check)
        self._transmit(check)
        return True

    def may_check(self, pair: CandidatePair) -> bool:
        """Whether the pair's address may get a check, but for what its whole network gets."""
        remote = pair.remote.address
        return is_virtual(remote) or self._budget.may_check(remote, self._check_bytes)

    def _may_send(self, pair: CandidatePair, now: float, size: int) -> bool:
        remote = pair.remote.address
        if is_virtual(remote) or self._budget.take(remote, size, now):
            return True
        pair.note(PairOutcome.NO_BUDGET)
        return False

    def _transmit(self, check: OutgoingCheck) -> None:
        pair = check.pair
        pair.check_sent()
        self._core.send(check.datagram, pair.base, pair.remote.address)

    def next_due(self) -> float:
        """When a check is to be repeated or given up; inf if none is under way."""
        return self.transactions.next_due()

    def repeat(self, now: float) -> None:
        """Repeat or give up what is due."""
        while (check := self.transactions.take_due(now)) is not None:
            if not check.repeats:
                self.transactions.end(check)
                self._unanswered(check, now)
                continue
            if check.purpose is Purpose.CONSENT and check.transmissions == 1:
                self._core.tell(ConsentDelayed(check.first_sent_at))
                self._delayed(check, now)
            check.repeated(now, self._settings.last_wait_s)
            self.transactions.wait(check)
            if self._may_send(check.pair, now, len(check.datagram)):
                self._transmit(check)


def _first_wait_s(core: IceCore, round_trip_s: float | None) -> float:
    """The first wait for an answer: half as long again as a round trip, if one is known."""
    settings = core.settings
    if round_trip_s is None:
        return settings.rto_s
    return min(settings.rto_s, max(settings.rto_min_s, 1.5 * round_trip_s))
