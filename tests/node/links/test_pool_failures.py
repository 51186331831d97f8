"""Attempts at links that must fail: at once or in time, on both sides, with the reason."""

import asyncio
from dataclasses import replace

import pytest

from node.links.failure import LinkAttemptFailed
from node.links.stages import Stage
from protocol import limits
from protocol.addresses import Address
from protocol.causes.cause import Cause
from protocol.causes.tried import KnownSide
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.errors import Busy, CallFailed, LinkFailed
from protocol.ice.candidates import CandidateKind
from protocol.ice.pairs import PairOutcome
from protocol.ice.settings import IceSettings
from protocol.identity import Identity
from protocol.reachability.network_view import NatKind
from protocol.signaling import CallResult
from tests.node.links.dead_ends import dead_end_of
from tests.node.links.link_network import (
    Node,
    accepted,
    call_directly,
    frame_of,
    linked,
    network,
    offer_of,
    until,
)

pytestmark = pytest.mark.leaves_nothing


async def test_a_dead_candidate_fails_in_time_and_says_what_was_tried() -> None:
    async def dead_end(_: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        return accepted(offer_id, callee.identity.public_key, dead_end_of(offer))

    async with network() as peers:
        one, other = await peers.add(connect_timeout_s=15.0), await peers.add()
        peers.carry = dead_end
        connecting = asyncio.ensure_future(one.pool.connect(other.peer_id))
        took_s = await until(connecting.done)
        assert took_s >= IceSettings().patience_s
        with pytest.raises(LinkAttemptFailed) as failed:
            await connecting
        assert failed.value.stage is Stage.ICE
        assert failed.value.reason == "no pair of addresses worked"
        assert failed.value.cause is Cause.KIND_UNKNOWN
        report = failed.value.report
        assert report is not None
        (pair,) = report.pairs
        assert pair.outcome is PairOutcome.NO_ANSWER
        assert (pair.remote, pair.local.host) == (Address("127.0.0.1", 9), "127.0.0.1")
        assert report.own == report.peer == KnownSide((4,), NatKind(), 0)
        assert list(report.stage_ms) == ["call", "ice"]
        assert report.stage_ms["ice"] == pytest.approx(1000 * took_s, abs=20)
        assert one.pool.counts["failed_ice"] == 1


async def test_an_answer_without_usable_candidates_fails_unless_the_peer_checks_us() -> None:
    async def no_candidates(
        _: Node, callee: Node, offer_id: bytes, offer: Description
    ) -> CallResult:
        elsewhere = IceCandidate(CandidateKind.HOST, Address("2001:db8::1", 5))
        answer = replace(offer, role=DtlsRole.ACTIVE, candidates=(elsewhere,))
        return accepted(offer_id, callee.identity.public_key, answer)

    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        peers.carry = no_candidates
        async with asyncio.timeout(IceSettings().patience_s + 0.1):
            with pytest.raises(LinkAttemptFailed, match="only IPv4 and the other only") as failed:
                await one.pool.connect(other.peer_id)
        assert "fits theirs ([2001:db8::1]:5)" in failed.value.reason
        assert failed.value.stage is Stage.ICE


async def test_a_machine_without_an_address_says_so() -> None:
    async with network() as peers:
        one, other = await peers.add(bound=()), await peers.add()
        with pytest.raises(LinkAttemptFailed, match="no network address"):
            await one.pool.connect(other.peer_id)
        with pytest.raises(CallFailed, match="no network address"):
            await other.pool.connect(one.peer_id)


async def test_a_node_that_hides_its_address_does_not_say_that_it_has_none() -> None:
    async with network() as peers:
        one, other = await peers.add(relayed_only=True), await peers.add()
        with pytest.raises(LinkAttemptFailed, match="hides its address") as failed:
            await one.pool.connect(other.peer_id)
        assert failed.value.cause is Cause.ADDRESS_HIDDEN


_UNPROVED = {Cause.NOT_THE_PEER, Cause.PEER_STALLED}
"""The side that notices says the first, the other one is left."""


async def _expect_no_link(
    one: Node, other: Node, stages: set[Stage], causes: set[Cause], limit_s: float = 20.0
) -> float:
    """Connecting fails at one of these stages, and neither side ever has a link.

    Returns the seconds after which the other side knew.
    """
    connecting = asyncio.ensure_future(one.pool.connect(other.peer_id))
    await until(connecting.done, limit_s, 0.01)
    with pytest.raises(LinkAttemptFailed) as failed:
        await connecting
    assert failed.value.stage in stages
    assert failed.value.cause in causes
    took_s = await until(lambda: not other.pool.answering, limit_s, 0.01)
    for node in (one, other):
        assert node.pool.links() == node.announced == []
    return took_s


async def test_a_wrong_fingerprint_in_the_answer_is_no_link_on_either_side() -> None:
    async def forged(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        answered = await call_directly(caller, callee, offer_id, offer)
        description = replace(answered.description, fingerprint=bytes(32))
        return replace(answered, description=description)

    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        peers.carry = forged
        assert await _expect_no_link(one, other, {Stage.DTLS}, {Cause.WRONG_CERTIFICATE}) < 1.0
        assert other.pool.counts["failed_session"] == 1


async def test_a_wrong_fingerprint_in_the_offer_is_no_link_on_either_side() -> None:
    async def forged(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        return await call_directly(caller, callee, offer_id, replace(offer, fingerprint=bytes(32)))

    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        peers.carry = forged
        assert await _expect_no_link(one, other, {Stage.DTLS, Stage.SESSION}, _UNPROVED) < 1.0


async def test_an_sctp_init_that_cannot_be_used_is_no_link_on_either_side() -> None:
    async def forged(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        answered = await call_directly(caller, callee, offer_id, offer)
        description = replace(answered.description, sctp_init=bytes(16))
        return replace(answered, description=description)

    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        peers.carry = forged
        assert await _expect_no_link(one, other, {Stage.SCTP}, {Cause.PROTOCOL_BROKEN}) < 1.0


async def test_a_wrong_offer_id_is_no_link_on_either_side() -> None:
    async def forged(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        answered = await call_directly(caller, callee, offer_id, offer)
        return replace(answered, offer_id=bytes(16))

    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        peers.carry = forged
        await _expect_no_link(one, other, {Stage.SESSION}, _UNPROVED)
        assert one.counters.refused["not_authentic"] == 1


async def test_another_identity_behind_the_right_certificate_is_no_link() -> None:
    async def forged(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        impostor = Identity(bytes(32))
        answer = await callee.pool.answer(offer_of(impostor.public_key, offer_id, offer))
        return accepted(offer_id, callee.identity.public_key, answer)

    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        peers.carry = forged
        await _expect_no_link(one, other, {Stage.SESSION}, _UNPROVED)
        assert one.counters.refused["not_authentic"] == 1


async def test_an_answer_by_another_peer_is_refused_before_anything_is_sent() -> None:
    async def forged(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        answered = await call_directly(caller, callee, offer_id, offer)
        return replace(answered, peer_key=Identity(bytes(32)).public_key)

    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        peers.carry = forged
        await _expect_no_link(one, other, {Stage.CALL}, {Cause.NOT_THE_PEER})


async def test_an_answer_that_leaves_the_dtls_role_open_is_refused() -> None:
    async def forged(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        answered = await call_directly(caller, callee, offer_id, offer)
        description = replace(answered.description, role=DtlsRole.ACTPASS)
        return replace(answered, description=description)

    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        peers.carry = forged
        connecting = asyncio.ensure_future(one.pool.connect(other.peer_id))
        await until(connecting.done, 20.0, 0.01)
        with pytest.raises(LinkAttemptFailed, match="does not follow the protocol") as failed:
            await connecting
        assert failed.value.reason == "the answer leaves the DTLS role open"


async def test_an_offer_that_insists_on_being_the_client_gets_a_server() -> None:
    async def insisting(
        caller: Node, callee: Node, offer_id: bytes, offer: Description
    ) -> CallResult:
        return await call_directly(caller, callee, offer_id, replace(offer, role=DtlsRole.ACTIVE))

    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        peers.carry = insisting
        ours, _ = await linked(one, other)
        assert ours.channel.dtls._role == "client"  # type: ignore[attr-defined]
        ours.send(frame_of(b"hello"))
        await until(lambda: other.received == [b"hello"])


async def test_calls_that_fail_say_why() -> None:
    async with network() as peers:
        one = await peers.add()
        with pytest.raises(CallFailed, match="it is offline"):
            await one.pool.connect(bytes(20))
        with pytest.raises(CallFailed, match="cannot link to itself"):
            await one.pool.connect(one.peer_id)
        offer = dead_end_of(Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ()))
        with pytest.raises(CallFailed, match="cannot link to itself"):
            await one.pool.answer(offer_of(one.identity.public_key, bytes(16), offer))


async def test_a_fault_in_the_caller_is_a_failure_and_a_defect() -> None:
    async def broken(*_: object) -> CallResult:
        raise ZeroDivisionError

    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        peers.carry = broken
        with pytest.raises(LinkFailed, match="in the log"):
            await one.pool.connect(other.peer_id)
        assert [type(defect) for defect in one.pool.defects] == [ZeroDivisionError]
        one.expected_defects = [ZeroDivisionError]


async def test_a_call_without_an_answer_ends_in_time() -> None:
    async def silent(*_: object) -> CallResult:
        await asyncio.Event().wait()
        raise AssertionError("never")

    async with network() as peers:
        one, other = await peers.add(call_timeout_s=30.0), await peers.add()
        peers.carry = silent
        connecting = asyncio.ensure_future(one.pool.connect(other.peer_id))
        await until(connecting.done, 31.0)
        with pytest.raises(LinkAttemptFailed, match="answered in time") as failed:
            await connecting
        assert failed.value.stage is Stage.CALL
        assert failed.value.reason == "no answer within 30 s"


async def test_after_a_failure_the_next_attempt_waits_and_a_success_forgets() -> None:
    async with network() as peers:
        one, other = await peers.add(backoff_first_s=8.0), await peers.add()
        hidden = peers.nodes.pop(other.peer_id)
        with pytest.raises(CallFailed):
            await one.pool.connect(other.peer_id)
        peers.nodes[other.peer_id] = hidden
        with pytest.raises(LinkFailed, match=r"next attempt in \d\.\d s: it is offline"):
            await one.pool.connect(other.peer_id)
        await asyncio.sleep(8.0)
        await (await one.pool.connect(other.peer_id)).close()
        del peers.nodes[other.peer_id]
        with pytest.raises(CallFailed):
            await one.pool.connect(other.peer_id)
        with pytest.raises(LinkFailed) as refused:
            await one.pool.connect(other.peer_id)
        wait_s = float(str(refused.value).split("next attempt in ")[1].split(" s")[0])
        assert wait_s <= 8.0  # as after the first failure; after the second it is longer than that
        peers.nodes[other.peer_id] = hidden


async def test_only_so_many_calls_are_answered_at_once() -> None:
    async with network() as peers:
        busy, caller = await peers.add(), await peers.add()
        offer = dead_end_of(Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ()))
        others = [Identity(bytes([n]) * 32) for n in range(limits.LINK_ATTEMPTS)]
        for other in others:
            await busy.pool.answer(offer_of(other.public_key, bytes(16), offer))
        with pytest.raises(Busy) as refused:
            await busy.pool.answer(offer_of(caller.identity.public_key, bytes(16), offer))
        assert refused.value.retry_after_s == pytest.approx(limits.LINK_PROOF_S)
        # One that calls again takes its own place.
        await busy.pool.answer(offer_of(others[0].public_key, bytes(16), offer))
        await until(lambda: not busy.pool.answering, 20.0)
        assert busy.pool.counts["failed_ice"] == limits.LINK_ATTEMPTS
