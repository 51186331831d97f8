"""What a node answers to the offers that reach it: accepted, refused, or crossed by its own."""

import asyncio
import random

import pytest

from node.environment import Environment
from node.overlay.signaling.callee import Callee
from protocol import limits
from protocol.description import Description, DtlsRole
from protocol.errors import Busy, LinkFailed, Overloaded, RateLimited, Replayed
from protocol.identity import Identity
from protocol.signaling import Answer, AnswerStatus, Offer, make_offer, read_answer

_RNG = random.Random(1)
NOW = 1_800_000_000.0
SMALLER, LARGER = sorted(
    (Identity(_RNG.randbytes(32)) for _ in range(2)), key=lambda identity: identity.peer_id
)
OFFERED = Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ())
ANSWERED = Description("efgh", "b" * 22, bytes(32), DtlsRole.ACTIVE, ())


def callee_of(identity: Identity) -> Callee:
    return Callee(identity, Environment(wall=lambda: NOW), puzzle_bits=0)


def offer_from(caller: Identity, identity: Identity) -> tuple[Offer, bytes]:
    return make_offer(caller, identity.public_key, identity.peer_id, OFFERED, now=NOW, rng=_RNG)


def answer_of(callee: Callee, caller: Identity, identity: Identity) -> Answer:
    offer, sealed = offer_from(caller, identity)
    answer = asyncio.run(callee.answer(sealed, 0.0))
    return read_answer(caller, offer, answer, callee_key=identity.public_key)


async def accept(offer: Offer) -> Description:
    assert offer.description == OFFERED
    return ANSWERED


def test_calls_are_refused_until_they_are_accepted_and_once_they_are_refused_again() -> None:
    callee = callee_of(LARGER)
    assert answer_of(callee, SMALLER, LARGER).status is AnswerStatus.REFUSED
    callee.accept_calls(accept)
    answer = answer_of(callee, SMALLER, LARGER)
    assert (answer.status, answer.description) == (AnswerStatus.ACCEPTED, ANSWERED)
    callee.refuse_calls()
    assert answer_of(callee, SMALLER, LARGER).status is AnswerStatus.REFUSED


def test_a_node_without_room_for_a_link_is_busy() -> None:
    async def full(_: Offer) -> Description:
        raise Busy(6.5)

    async def overloaded(_: Offer) -> Description:
        raise Overloaded("too many links are made")

    async def failing(_: Offer) -> Description:
        raise LinkFailed("no address")

    callee = callee_of(LARGER)
    for accept_call, status, retry_s in (
        (full, AnswerStatus.BUSY, 7),
        (overloaded, AnswerStatus.BUSY, limits.BUSY_RETRY_S),
        (failing, AnswerStatus.REFUSED, 0),
    ):
        callee.accept_calls(accept_call)
        answer = answer_of(callee, SMALLER, LARGER)
        assert (answer.status, answer.retry_s) == (status, retry_s)


def test_an_offer_counts_once() -> None:
    callee = callee_of(LARGER)
    _, sealed = offer_from(SMALLER, LARGER)
    asyncio.run(callee.answer(sealed, 0.0))
    with pytest.raises(Replayed):
        asyncio.run(callee.answer(sealed, 0.0))


def test_a_flood_of_offers_of_one_caller_is_refused_before_any_ice() -> None:
    described: list[Offer] = []

    async def describe(offer: Offer) -> Description:
        described.append(offer)
        return ANSWERED

    callee = callee_of(LARGER)
    callee.accept_calls(describe)
    for _ in range(limits.OFFERS_PER_CALLER):
        assert answer_of(callee, SMALLER, LARGER).status is AnswerStatus.ACCEPTED
    _, sealed = offer_from(SMALLER, LARGER)
    with pytest.raises(RateLimited):
        asyncio.run(callee.answer(sealed, 0.0))
    assert len(described) == limits.OFFERS_PER_CALLER


def test_while_both_call_the_offer_of_the_smaller_id_counts() -> None:
    smaller, larger = callee_of(SMALLER), callee_of(LARGER)
    for callee in (smaller, larger):
        callee.accept_calls(accept)
    own, _ = offer_from(SMALLER, LARGER)
    smaller.own_offer_sent(LARGER.peer_id, own)
    larger.own_offer_sent(SMALLER.peer_id, offer_from(LARGER, SMALLER)[0])
    assert answer_of(smaller, LARGER, SMALLER).status is AnswerStatus.CROSSED
    assert answer_of(larger, SMALLER, LARGER).status is AnswerStatus.ACCEPTED
    later, _ = offer_from(SMALLER, LARGER)
    smaller.own_offer_sent(LARGER.peer_id, later)
    smaller.own_offer_ended(LARGER.peer_id, own)
    assert answer_of(smaller, LARGER, SMALLER).status is AnswerStatus.CROSSED
    smaller.own_offer_ended(LARGER.peer_id, later)
    assert answer_of(smaller, LARGER, SMALLER).status is AnswerStatus.ACCEPTED
