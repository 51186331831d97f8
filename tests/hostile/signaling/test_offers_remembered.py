"""A node's memory of offers, filled by as few identities as can: an honest call is answered."""

import random

import pytest

from node.environment import Environment
from node.overlay.signaling.callee import Callee
from protocol import limits
from protocol.description import Description, DtlsRole
from protocol.errors import RateLimited
from protocol.identity import Identity
from protocol.signaling import AnswerStatus, Offer, make_offer, read_answer

WALL = 1_800_000_000.0
DESCRIBED = Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ())


class Person:
    """A node's callee, and those who call it."""

    def __init__(self) -> None:
        self.rng = random.Random(1)
        self.identity = Identity(self.rng.randbytes(32))
        self.now = WALL
        here = Environment(lambda: self.now, self.rng, list, None)
        self.callee = Callee(self.identity, here, puzzle_bits=0)
        self.callee.accept_calls(self._accept)

    async def _accept(self, offer: Offer) -> Description:
        return DESCRIBED

    def newcomer(self) -> Identity:
        return Identity(self.rng.randbytes(32))

    async def call(self, caller: Identity, *, ahead_s: float = 0.0) -> AnswerStatus:
        """One call, as the caller reads its answer; raises what the callee does."""
        offer, sealed = make_offer(
            caller,
            self.identity.public_key,
            self.identity.peer_id,
            DESCRIBED,
            now=self.now + ahead_s,
            rng=self.rng,
        )
        answer = await self.callee.answer(sealed, 0.0)
        key = self.identity.public_key
        return read_answer(caller, offer, answer, callee_key=key).status


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Person:
    """With an eighth of the memory, so that its sealing and signing takes no minute."""
    defaults = limits.OFFERS_REMEMBERED // 8, limits.OFFERS_PER_CALLER
    monkeypatch.setattr("protocol.places.offers.OfferMemory.__init__.__defaults__", defaults)
    return Person()


async def fill(person: Person, *, ahead_s: float) -> list[Identity]:
    """As few identities as can, each with as many offers as are answered to one."""
    count = limits.OFFERS_REMEMBERED // 8 // limits.OFFERS_PER_CALLER
    attackers = [person.newcomer() for _ in range(count)]
    for attacker in attackers:
        for _ in range(limits.OFFERS_PER_CALLER):
            assert await person.call(attacker, ahead_s=ahead_s) is AnswerStatus.ACCEPTED
    return attackers


@pytest.mark.parametrize("ahead_s", [0.0, limits.CLOCK_SKEW_S])
async def test_honest_calls_are_answered_while_few_identities_fill_the_memory(
    person: Person, ahead_s: float
) -> None:
    """Also where these date their offers ahead, so that they are remembered longer."""
    attackers = await fill(person, ahead_s=ahead_s)
    for _ in range(60):
        person.now += 1.0
        assert await person.call(person.newcomer()) is AnswerStatus.ACCEPTED
        for attacker in attackers:  # what made room is filled again at once, if it can be
            try:
                await person.call(attacker, ahead_s=ahead_s)
            except RateLimited:
                continue
