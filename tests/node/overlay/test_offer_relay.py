"""Offers by several relays at once: silence, refusals, and what counts as a failure."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from node.overlay.rpc.pending import Reply
from node.overlay.signaling.offer_relay import OfferRelay
from protocol import limits
from protocol.addresses import Address
from protocol.causes.cause import Cause
from protocol.errors import CallFailed, ModswarmError, NetworkError, TimedOut, WrongKey
from protocol.identity import peer_id_of
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method, Response
from protocol.reachability.own_line import OwnLine
from protocol.signaling import Answer, AnswerStatus
from simulations.runtime.running import run_virtually

GOOD = b"the answer"
RELAYS = [Contact.at(bytes([number]) * 32, Address("192.0.2.1", number)) for number in range(1, 8)]
CALLEE_KEY = bytes(32)
CALLEE_ID = peer_id_of(CALLEE_KEY)


Behaviours = Mapping[Contact, tuple[float, Code, bytes] | None]


class FakeWire:
    """Notes each request and its time; `behave` gives delay and code of the response, or None."""

    def __init__(self, behave: Behaviours) -> None:
        self._behave = behave
        self._loop = asyncio.get_running_loop()
        self.asked: list[tuple[float, Contact]] = []
        self.line = OwnLine()

    def round_trip_s(self, _contact: Contact) -> float:
        return 0.04

    def request(
        self,
        contact: Contact,
        method: Method,
        arguments: list[Any],
        on_reply: Callable[[Reply], None],
        *,
        timeout_s: float,
    ) -> None:
        assert method is Method.SIGNAL
        assert arguments == [CALLEE_ID, b"sealed", 40]
        self.asked.append((self._loop.time(), contact))
        behaviour = self._behave.get(contact)
        if behaviour is None:
            reply = Reply(contact, None, TimedOut("no answer"))
            self._loop.call_later(timeout_s, on_reply, reply)
        else:
            after_s, code, sealed = behaviour
            response = Response(bytes(8), code, b"", contact.address, [sealed] if sealed else [])
            self._loop.call_later(after_s, on_reply, Reply(contact, response, None))


def _read_answer(sealed: bytes) -> Answer:
    if sealed != GOOD:
        raise WrongKey("an answer from another peer")
    return Answer(bytes(32), AnswerStatus.ACCEPTED, None)


class Outcome:
    """How one call by the first `count` relays ended, each of them in a network of its own."""

    def __init__(
        self, behave: Behaviours, count: int = 7, relays: Sequence[Contact] = RELAYS
    ) -> None:
        run_virtually(self._run(behave, relays[:count]))

    async def _run(self, behave: Any, relays: Sequence[Contact]) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        wire: Any = FakeWire(behave)
        answered: asyncio.Future[tuple[Answer, Contact]] = loop.create_future()
        offer_relay = OfferRelay(
            wire,
            CALLEE_ID,
            b"sealed",
            voice=lambda contact: contact.packed,
            read_answer=_read_answer,
            answered=answered,
        )
        for relay in (*relays, *relays):
            offer_relay.add(relay)
        offer_relay.complete()
        self.relay: Contact | None = None
        self.error: ModswarmError | None = None
        try:
            _, self.relay = await answered
        except ModswarmError as error:
            self.error = error
        self.seconds = loop.time() - started
        await asyncio.sleep(3 * limits.CALL_S)
        self.asked = [(at - started, contact) for at, contact in wire.asked]


def test_three_are_signaled_at_once_and_the_first_answer_counts() -> None:
    outcome = Outcome({RELAYS[1]: (0.2, Code.OK, GOOD), RELAYS[2]: (0.3, Code.OK, GOOD)})
    assert outcome.relay == RELAYS[1]
    assert outcome.seconds == pytest.approx(0.2)
    assert [contact for _, contact in outcome.asked] == RELAYS[: limits.REGISTRARS_CALLED]


def test_silent_relays_are_signaled_past_after_a_moment() -> None:
    outcome = Outcome({RELAYS[6]: (0.1, Code.OK, GOOD)})
    assert outcome.relay == RELAYS[6]
    assert outcome.seconds == pytest.approx(2 * limits.CALL_REPEAT_S + 0.1)


def test_a_late_answer_of_a_silent_relay_still_counts() -> None:
    outcome = Outcome({RELAYS[0]: (4.4, Code.OK, GOOD)}, count=1)
    assert outcome.relay == RELAYS[0]
    assert outcome.seconds == pytest.approx(4.4)
    assert [at for at, _ in outcome.asked] == pytest.approx([0, 1, 2, 3, 4])


def test_the_reason_of_one_registrar_is_no_failure_while_others_may_answer() -> None:
    behave = {RELAYS[0]: (0.1, Code.OFFLINE, b""), RELAYS[1]: (0.5, Code.OK, GOOD)}
    outcome = Outcome(behave, count=2)
    assert outcome.relay == RELAYS[1]


def test_an_answer_that_the_callee_did_not_sign_is_worth_nothing() -> None:
    behave = {RELAYS[0]: (0.1, Code.OK, b"forged"), RELAYS[1]: (0.5, Code.OK, GOOD)}
    assert Outcome(behave, count=2).relay == RELAYS[1]
    alone = Outcome({RELAYS[0]: (0.1, Code.OK, b"forged")}, count=1)
    assert isinstance(alone.error, CallFailed)


def test_all_registrars_say_the_same() -> None:
    outcome = Outcome(dict.fromkeys(RELAYS, (0.1, Code.OFFLINE, b"")))
    assert isinstance(outcome.error, CallFailed)
    assert outcome.error.cause is Cause.OFFLINE
    assert outcome.seconds < 1.0


@pytest.mark.parametrize(
    ("codes", "cause"),
    [
        ((Code.OFFLINE, Code.RATE_LIMITED), Cause.TOO_MANY_CALLS),
        ((Code.OFFLINE, Code.REFUSED), Cause.REFUSED),
        ((Code.OFFLINE, Code.EXPIRED), Cause.CLOCKS_DIFFER),
        ((Code.ISSUED_IN_FUTURE, Code.TIMED_OUT), Cause.CLOCKS_DIFFER),
        ((Code.TIMED_OUT, Code.MALFORMED), Cause.OFFLINE),
        ((Code.MALFORMED, Code.MALFORMED), None),
    ],
)
def test_of_registrars_that_disagree_the_one_that_reached_the_peer_is_told(
    codes: tuple[Code, Code], cause: Cause | None
) -> None:
    for order in (codes, codes[::-1]):
        behave = {relay: (0.1, code, b"") for relay, code in zip(RELAYS, order, strict=False)}
        error = Outcome(behave, count=2).error
        assert isinstance(error, NetworkError)
        assert error.cause is cause
        if cause is None:
            assert str(error) == "a registrar refused the call: malformed"


@pytest.mark.parametrize(
    "lie", [Code.EXPIRED, Code.ISSUED_IN_FUTURE, Code.REFUSED, Code.BUSY, Code.RATE_LIMITED]
)
def test_one_liar_among_registrars_does_not_tell_why_a_call_failed(lie: Code) -> None:
    for liar in RELAYS:
        behave = dict.fromkeys(RELAYS, (0.1, Code.OFFLINE, b"")) | {liar: (0.1, lie, b"")}
        error = Outcome(behave).error
        assert isinstance(error, NetworkError)
        assert error.cause is Cause.OFFLINE


def test_what_two_registrars_heard_of_the_peer_outweighs_those_that_do_not_reach_it() -> None:
    behave = dict.fromkeys(RELAYS, (0.1, Code.OFFLINE, b"")) | dict.fromkeys(
        RELAYS[2:4], (0.1, Code.BUSY, b"")
    )
    error = Outcome(behave).error
    assert isinstance(error, NetworkError)
    assert error.cause is Cause.BUSY


def test_the_peer_itself_knows_best_why_it_refuses() -> None:
    itself = Contact.at(CALLEE_KEY, Address("192.0.2.9", 9))
    behave = dict.fromkeys(RELAYS, (0.1, Code.OFFLINE, b"")) | {
        itself: (0.1, Code.ISSUED_IN_FUTURE, b"")
    }
    error = Outcome(behave, relays=[*RELAYS[:3], itself]).error
    assert isinstance(error, NetworkError)
    assert error.cause is Cause.CLOCKS_DIFFER


def test_silence_of_all_is_a_time_out() -> None:
    outcome = Outcome({}, count=2)
    assert isinstance(outcome.error, TimedOut)
    assert outcome.error.cause is Cause.REGISTRARS_SILENT
    assert limits.CALL_S < outcome.seconds <= limits.CALL_S + 3 * limits.CALL_REPEAT_S
    assert all(at <= outcome.seconds for at, _ in outcome.asked), "nothing is sent afterwards"


def test_no_relay() -> None:
    error = Outcome({}, count=0).error
    assert isinstance(error, CallFailed)
    assert error.cause is Cause.NOT_REGISTERED


def test_a_token_that_aged_is_renewed_once() -> None:
    outcome = Outcome({RELAYS[0]: (0.1, Code.BAD_TOKEN, b"")}, count=1)
    assert isinstance(outcome.error, CallFailed)
    assert len([at for at, _ in outcome.asked if at < 0.5]) == 2


def test_a_callee_that_does_not_answer_itself_is_not_waited_for_as_a_registrar_is() -> None:
    itself = Contact.at(CALLEE_KEY, Address("192.0.2.9", 9))
    behave = dict.fromkeys(RELAYS, (limits.CALL_UNMEASURED_S, Code.OFFLINE, b""))
    outcome = Outcome(behave, relays=[itself, *RELAYS[:3]])
    assert isinstance(outcome.error, NetworkError)
    assert outcome.error.cause is Cause.OFFLINE
    assert outcome.seconds < limits.CALL_UNMEASURED_S + 1.5
