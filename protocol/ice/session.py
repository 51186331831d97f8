"""One generation of an agent: its credentials, its pairs, and the checks of the peer that name it.

A restart begins a new one (RFC 8445, 9), and the old one carries the link until the new one does.
"""

from collections.abc import Callable

from protocol import limits
from protocol.addresses import Address
from protocol.errors import NotAuthentic, OverLimit, Unexpected
from protocol.ice.candidates import CandidateKind, IceCredentials
from protocol.ice.check_messages import (
    KNOWN,
    IncomingCheck,
    encode_answer,
    encode_refusal,
    read_check,
)
from protocol.ice.checklist import Base, Bases, Checklist
from protocol.ice.connectivity import ConnectivityChecks
from protocol.ice.core import IceCore
from protocol.ice.pairs import CandidatePair
from protocol.stun.attributes import Attribute, ErrorCode
from protocol.stun.message import StunMessage, has_integrity


class IceSession:
    """See the module. `given_up` and `lost` are called as those of ConnectivityChecks.

    The base at `without` carries none of its checks.
    """

    def __init__(
        self,
        core: IceCore,
        credentials: IceCredentials,
        bases: Bases,
        given_up: Callable[[], None],
        lost: Callable[[], None],
        without: Address | None = None,
    ) -> None:
        self._core = core
        self._bases = bases
        self._given_up = given_up
        self._lost = lost
        self.credentials = credentials
        self.ufrag = credentials.ufrag.encode()
        self._key = credentials.password.encode()
        self.checklist = Checklist(bases, controlling=core.controlling, without=without)
        self.connectivity: ConnectivityChecks | None = None
        self._candidates_ended = False
        self._early: dict[tuple[Address, Address], tuple[IncomingCheck, int]] = {}

    @property
    def selected(self) -> CandidatePair | None:
        """The pair that carries the link."""
        return None if self.connectivity is None else self.connectivity.selection.selected

    def start(
        self,
        remote: IceCredentials,
        now: float,
        *,
        budget_bytes: int,
        round_trip_s: float | None,
        hold_off_until: float,
        waits_for_direct: bool,
    ) -> None:
        """Begin checks, the first of them for the peer's that have come already."""
        self.connectivity = connectivity = ConnectivityChecks(
            self._core,
            self.checklist,
            self.credentials,
            remote,
            now,
            budget_bytes=budget_bytes,
            round_trip_s=round_trip_s,
            hold_off_until=hold_off_until,
            waits_for_direct=waits_for_direct,
            given_up=self._given_up,
            lost=self._lost,
        )
        early, self._early = self._early, {}
        for (source, local), (check, extra_bytes) in early.items():
            base = self._bases.get(local)
            if base is not None:
                connectivity.checked(check, source, base, extra_bytes, now)
        if self._candidates_ended:
            connectivity.end_of_candidates()
        connectivity.candidates_changed(now)

    def end_of_candidates(self) -> None:
        """The peer names no more addresses."""
        self._candidates_ended = True
        if self.connectivity is not None:
            self.connectivity.end_of_candidates()

    def add_base(self, base: Base, now: float) -> None:
        """Pair a new base."""
        self.checklist.add_base(base)
        self._changed(now)

    def remove_base(self, address: Address, now: float) -> None:
        """Drop the pairs of a base."""
        gone = self.checklist.remove_base(address)
        if self.connectivity is not None:
            self.connectivity.dropped(gone, now)

    def add_remote(
        self, kind: CandidateKind, address: Address, told: int | None, now: float
    ) -> None:
        """Pair a new address of the peer."""
        self.checklist.add_remote(kind, address, told)
        self._changed(now)

    def try_again(self, now: float) -> None:
        """Check pairs anew that failed."""
        self.checklist.retry_failed()
        self._changed(now)

    def _changed(self, now: float) -> None:
        if self.connectivity is not None:
            self.connectivity.candidates_changed(now)

    # Checks of the peer ---------------------------------------------------------------------

    def request(
        self, message: StunMessage, data: bytes, source: Address, local: Address, now: float
    ) -> None:
        """Take a Binding request that names our ufrag, and answer it if it is authentic.

        Raises NotAuthentic, Malformed, Unexpected, OverLimit.
        """
        username = message.get(Attribute.USERNAME) or b""
        own, _, theirs = username.partition(b":")
        expected = None if self.connectivity is None else self.connectivity.remote_ufrag
        if own != self.ufrag or (expected is not None and theirs != expected):
            raise NotAuthentic("a check with another user name")
        if not has_integrity(data, message, self._key):
            raise NotAuthentic("a check without our password")
        base = self._bases.get(local)
        if base is None:
            raise Unexpected("a check to an address that is no base")
        if not self._may_take(source, base):
            raise OverLimit("a check from an address that there is no pair for")
        unknown = message.not_understood(KNOWN)
        if unknown:
            refusal = encode_refusal(
                message.transaction, ErrorCode.UNKNOWN_ATTRIBUTE, self._key, unknown
            )
            self._answer(data, refusal, source, local)
            return
        check = read_check(message)
        if check.controlling == self._core.controlling and not self._settle_roles(check, now):
            refusal = encode_refusal(message.transaction, ErrorCode.ROLE_CONFLICT, self._key)
            self._answer(data, refusal, source, local)
            return
        answer = encode_answer(message.transaction, source, self._key)
        self._answer(data, answer, source, local)
        self._checked(check, source, base, len(data) - len(answer), now)

    def _may_take(self, source: Address, base: Base) -> bool:
        """Whether a check counts: the peer may nominate any pair whose check we have answered."""
        is_early = self.connectivity is None and (source, base.address) not in self._early
        if is_early and len(self._early) >= limits.ICE_CHECKS_EARLY:
            return False
        return self.checklist.may_learn(base, source)

    def _checked(
        self, check: IncomingCheck, source: Address, base: Base, extra_bytes: int, now: float
    ) -> None:
        if self.connectivity is not None:
            self.connectivity.checked(check, source, base, extra_bytes, now)
            return
        key = (source, base.address)
        if key in self._early:
            earlier, earlier_bytes = self._early[key]
            if earlier.nominates and earlier.nomination >= check.nomination:
                check = check._replace(nominates=True, nomination=earlier.nomination)
            extra_bytes += earlier_bytes
        self._early[key] = (check, extra_bytes)

    def _settle_roles(self, check: IncomingCheck, now: float) -> bool:
        """Both sides claim one role (RFC 8445, 7.3.1.1): whether we yield, and take the other.

        After some times we do not: a refusal makes an honest peer take the other role itself.
        """
        ours_is_larger = self._core.tie_breaker >= check.tie_breaker
        if ours_is_larger == self._core.controlling or not self._core.may_switch_role:
            return False
        if self.connectivity is not None:
            self.connectivity.switch_role(now)
        else:
            self._core.switch_role()
            self.checklist.switch_role(controlling=self._core.controlling)
        return True

    def _answer(self, data: bytes, answer: bytes, source: Address, local: Address) -> None:
        """Answer a check, whose source may be forged: by no more than came."""
        if len(answer) > len(data):
            raise OverLimit("a check that is shorter than its answer")
        self._core.send(answer, local, source)
