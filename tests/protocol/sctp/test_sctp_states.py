"""RFC 9260, 4: the states of an association, one table of transitions, and peers that misbehave."""

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import protocol.sctp
from protocol.sctp import chunks, status
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.control.handshake import fresh_init
from protocol.sctp.events import Closed
from protocol.sctp.packets import seal
from protocol.sctp.status import (
    ALLOWED,
    TRANSITIONS,
    AssociationEvent,
    AssociationState,
    AssociationStatus,
    NoTransition,
)
from tests.protocol.sctp.model_link import chunks_of, make_association

STATES = list(AssociationState)
EVENTS = list(AssociationEvent)
RUNS = 400
ARROW = re.compile(r"^ {4}(\S+|any state) +── (.+?) ─+> (\S+)$", re.MULTILINE)


def test_the_picture_shows_the_table() -> None:
    assert status.__doc__ is not None
    named = {state.value.upper(): state for state in STATES}
    drawn: dict[tuple[AssociationState, AssociationEvent], AssociationState] = {}
    for before, event, after in ARROW.findall(status.__doc__):
        for state in STATES if before == "any state" else [named[before]]:
            assert (state, AssociationEvent(event)) not in drawn
            drawn[state, AssociationEvent(event)] = named[after]
    assert drawn == TRANSITIONS


def test_every_state_is_reached_and_left_and_every_event_does_something() -> None:
    assert {state for state, _ in TRANSITIONS} == set(STATES)
    assert set(TRANSITIONS.values()) == set(STATES)
    assert {event for _, event in TRANSITIONS} == set(EVENTS)


def test_no_other_module_changes_the_state() -> None:
    assert protocol.sctp.__file__ is not None
    package = Path(protocol.sctp.__file__).parent
    writers = {
        path.name
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and node.attr in AssociationStatus.__slots__
    }
    assert writers == {"status.py"}


class StatusMachine(RuleBasedStateMachine):
    """Any events: those of the table are followed, the others raise and change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.status = AssociationStatus()
        self.expected = AssociationState.CLOSED
        self.over = False

    @rule(event=st.sampled_from(EVENTS))
    def something_happens(self, event: AssociationEvent) -> None:
        after = TRANSITIONS.get((self.expected, event))
        if after is None or self.over:
            with pytest.raises(NoTransition):
                self.status.apply(event)
        else:
            assert self.status.apply(event) is after
            self.expected, self.over = after, after is AssociationState.CLOSED

    @invariant()
    def it_is_where_the_table_says(self) -> None:
        assert self.status.state is self.expected
        assert self.status.over is self.over


TestStatusMachine = StatusMachine.TestCase
TestStatusMachine.settings = settings(deadline=None, derandomize=True, max_examples=50)


# Misbehaving peers ------------------------------------------------------------------------------

_TSNS = (0, 1, 999, 1000, 1001, 2**31, 2**32 - 1)


class MisbehavingPeer:
    """A peer that sends genuine packets in any order and repeats them, and forged ones between.

    It consists of two honest associations, of which the second is the first one restarted. Beside
    it the application connects, sends and shuts down, and timers run out.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.ours = make_association(Role.CLIENT, 1)
        self.theirs = [make_association(Role.SERVER, number) for number in (2, 3)]
        self.now = 0.0
        self.tag = 1
        self.sent: list[bytes] = []
        self.made: list[bytes] = []
        self.ends = 0
        self.steps: tuple[Callable[[], None], ...] = (
            self.answer_genuinely,
            self.answer_genuinely,
            self.shut_down_genuinely,
            self.deliver_the_latest,
            self.deliver_the_latest,
            self.deliver_any_again,
            self.deliver_forged,
            self.deliver_forged,
            lambda: self.ours.connect(self.now),
            self.send,
            self.shut_down,
            self.run_timer,
        )

    def run(self, steps: int) -> None:
        """Do so many things at random, often from the middle on."""
        if self.random.random() < 0.6:
            self.establish()
        for _ in range(steps):
            self.random.choice(self.steps)()
            self.take()

    def establish(self) -> None:
        """Shake hands with the first one, or have its INIT, and send it what is lost."""
        if self.random.random() < 0.2:
            self.ours.establish(fresh_init(AssociationConfig(Role.SERVER), self.random), self.now)
        self.ours.connect(self.now)
        for _ in range(3):
            self.take()
            self.theirs[0].receive_burst(self.sent[-1:], self.now)
            self.made += self.theirs[0].datagrams_to_send(self.now)
            self.ours.receive_burst(self.made[-1:], self.now)
        self.send()
        self.take()

    def take(self) -> None:
        """See what our association has to say after a step."""
        sent = self.ours.datagrams_to_send(self.now)
        for kind, _, value in chunks_of(sent):
            if kind in (chunks.INIT, chunks.INIT_ACK):
                self.tag = chunks.decode_init(value).tag
        self.sent += sent
        self.ends += sum(isinstance(event, Closed) for event in self.ours.events())
        assert self.ends == self.ours.over
        assert not self.ours.over or self.ours.state is AssociationState.CLOSED

    def answer_genuinely(self) -> None:
        peer = self.random.choice(self.theirs)
        if self.random.random() < 0.3:
            peer.connect(self.now)
        peer.receive_burst(self.sent[-4:], self.now)
        self.made += peer.datagrams_to_send(self.now)
        peer.events()

    def shut_down_genuinely(self) -> None:
        peer = self.random.choice(self.theirs)
        if self.random.random() < 0.5 and peer.connected:
            peer.shutdown(self.now)
            self.made += peer.datagrams_to_send(self.now)

    def deliver_the_latest(self) -> None:
        self.ours.receive_burst(self.made[-4:], self.now)

    def deliver_any_again(self) -> None:
        if self.made:
            self.ours.receive(self.random.choice(self.made), self.now)

    def deliver_forged(self) -> None:
        parts = [self.forged_chunk() for _ in range(self.random.choice((1, 1, 1, 3)))]
        tag = self.random.choice((self.tag, self.tag, self.tag, 0))
        packet = seal(chunks.COMMON_HEADER.pack(5000, 5000, tag), b"".join(parts))
        self.ours.receive(packet, self.now)

    def forged_chunk(self) -> bytes:
        draw = self.random
        init = chunks.Init(draw.choice(_TSNS), 100_000, 10, 10, draw.choice(_TSNS))
        cookie = ((chunks.PARAMETER_STATE_COOKIE, b"a cookie of the peer"),)
        kind = draw.choice(sorted(ALLOWED))
        return draw.choice(
            (
                chunks.encode_init(chunks.INIT, init),
                chunks.encode_init(chunks.INIT_ACK, replace(init, parameters=cookie)),
                chunks.encode_data(draw.randrange(8), draw.choice(_TSNS), 0, 0, 53, b"data"),
                chunks.encode_sack(draw.choice(_TSNS), 100_000, []),
                chunks.encode_shutdown(draw.choice(_TSNS)),
                chunks.encode_error(chunks.CAUSE_STALE_COOKIE, bytes(4)),
                chunks.encode_chunk(chunks.SHUTDOWN_ACK),
                chunks.encode_chunk(chunks.SHUTDOWN_COMPLETE),
                chunks.encode_chunk(chunks.COOKIE_ACK),
                chunks.encode_chunk(kind, draw.randrange(2), bytes(draw.choice((0, 4, 16)))),
            )
        )

    def send(self) -> None:
        if self.ours.connected:
            self.ours.send(self.ours.open_channel("c"), bytes(3000), self.now)

    def shut_down(self) -> None:
        if self.ours.connected and self.random.random() < 0.5:
            self.ours.shutdown(self.now)
        elif self.random.random() < 0.1:
            self.ours.abort()

    def run_timer(self) -> None:
        at = self.ours.next_timer()
        if at is not None:
            self.now = max(self.now, at)
            self.ours.handle_timer(self.now)


def test_no_packet_of_a_misbehaving_peer_finds_a_transition_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing raises. Every row of the table is met on the way, but for some kinds of restart."""
    met: set[tuple[AssociationState, AssociationEvent]] = set()
    apply = AssociationStatus.apply

    def watched(self: AssociationStatus, event: AssociationEvent) -> AssociationState:
        met.add((self.state, event))
        return apply(self, event)

    monkeypatch.setattr(AssociationStatus, "apply", watched)
    for seed in range(RUNS):
        MisbehavingPeer(seed).run(40)
    assert met <= set(TRANSITIONS)
    rare = {(state, AssociationEvent.COOKIE_ECHO_ACCEPTED) for state in status.CONNECTED}
    assert set(TRANSITIONS) - met <= rare
