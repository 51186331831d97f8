"""Pools on loopback: links open, carry, end, and never come to be when they must not."""

import asyncio
import itertools
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from node.links.failure import LinkAttemptFailed, Stage
from node.links.link import Link
from protocol import limits
from protocol.addresses import Address
from protocol.description import CandidateKind, Description, DtlsRole, IceCandidate
from protocol.errors import CallCrossed, CallFailed, LinkClosed, LinkFailed, Malformed
from protocol.identity import Identity
from protocol.signaling import CallResult
from simulations.internet.carrier import LOOPBACK_S
from simulations.internet.internet import Internet
from simulations.runtime.loop import VirtualLoop
from tests.node.links.link_network import (
    Node,
    accepted,
    call_directly,
    frame_of,
    largest_frame,
    linked,
    network,
    offer_of,
    turn,
    until,
)

pytestmark = pytest.mark.leaves_nothing


@pytest.mark.real_loop
async def test_frames_go_both_ways_in_order_up_to_the_largest() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        ours, theirs = await linked(one, other)
        assert ours.max_frame_bytes == limits.MESSAGE_BYTES - 16
        texts = [b"", b"a", bytes(ours.max_frame_bytes - 2), *(b"%d" % n for n in range(100))]
        for text in texts:
            ours.send(frame_of(text))
            theirs.send(frame_of(text[::-1]))
        await until(lambda: len(one.received) == len(other.received) == len(texts))
        assert other.received == texts
        assert one.received == [text[::-1] for text in texts]
        assert ours.bytes_sent == theirs.bytes_received == sum(len(one) + 2 for one in texts)
        with pytest.raises(ValueError, match="a frame of"):
            ours.send(bytes(ours.max_frame_bytes + 1))


async def test_both_sides_know_who_and_where_the_other_is() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        ours, theirs = await linked(one, other)
        assert (ours.peer_id, theirs.peer_id) == (other.peer_id, one.peer_id)
        assert (ours.peer_key, theirs.peer_key) == (
            other.identity.public_key,
            one.identity.public_key,
        )
        assert (ours.direction, theirs.direction) == ("outgoing", "incoming")
        assert ours.path == theirs.path == "direct"
        assert ours.remote_address.host == theirs.remote_address.host == "127.0.0.1"
        for link, controlling in ((ours, True), (theirs, False)):
            agent = link._channel._dtls.ice._agent  # type: ignore[attr-defined]
            assert agent.ice_controlling is controlling
        assert one.announced == one.pool.links() == [ours]
        assert other.announced == other.pool.links() == [theirs]
        assert await one.pool.connect(other.peer_id) is ours
        assert await other.pool.connect(one.peer_id) is theirs


async def test_the_same_pair_links_again_the_other_way_round() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        ours, theirs = await linked(one, other)
        await ours.close("again")
        await until(lambda: not other.pool.links())
        theirs, ours = await linked(other, one)
        assert (ours.direction, theirs.direction) == ("incoming", "outgoing")
        ours.send(frame_of(b"back"))
        await until(lambda: other.received == [b"back"])


async def test_a_sender_that_waits_is_held_back_and_released() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        ours, _ = await linked(one, other)
        frame = largest_frame(ours)
        for _ in range(80):
            ours.send(frame)
        waiting = asyncio.ensure_future(ours.drained())
        await asyncio.sleep(0)
        buffered = ours.buffered_bytes
        assert buffered > 4 * 2**20
        assert not waiting.done()
        await waiting
        assert ours.buffered_bytes <= 4 * 2**20
        await until(lambda: len(other.received) == 80)
        assert ours.buffered_bytes == 0


async def test_closing_tells_the_other_side_why_at_once() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        ours, theirs = await linked(one, other)
        for _ in range(20):
            ours.send(frame_of(bytes(60_000)))
        waiting = asyncio.ensure_future(theirs.drained())
        await ours.close("enough\n of this")
        assert ours.closed.result() == "closed by us: enough\n of this"
        async with asyncio.timeout(0.5):
            assert await asyncio.shield(theirs.closed) == "closed by the peer: enough of this"
        await waiting
        for link in (ours, theirs):
            with pytest.raises(LinkClosed, match="enough"):
                link.send(frame_of(b"late"))
            with pytest.raises(LinkClosed, match="enough"):
                await link.drained()
        assert one.pool.links() == other.pool.links() == []


@pytest.mark.real_loop
async def test_a_sender_held_back_hears_of_the_end() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        ours, theirs = await linked(one, other)
        for _ in range(40):
            ours.send(largest_frame(ours))
        waiting = asyncio.ensure_future(ours.drained())
        await asyncio.sleep(0)
        await theirs.close("no room")
        with pytest.raises(LinkClosed, match="closed by the peer: no room"):
            await waiting


def _silence(link: Link) -> None:
    """Drop everything that this side sends or gets, as if its machine had lost power."""
    ice: Any = link._channel._dtls.ice  # type: ignore[attr-defined]
    for protocol in ice._agent._protocols:
        protocol.burst_received = lambda _burst: None
        protocol.transport.sendto = lambda _data, _addr=None: None
        protocol.transport.send_segments = lambda _buffer, _size, _addr: None


async def test_a_vanished_peer_is_noticed() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        ours, theirs = await linked(one, other)
        _silence(theirs)
        took_s = await until(ours.closed.done, 30.0)
        assert ours.closed.result() == "the peer stopped answering"
        assert took_s > 15.0
        assert one.pool.links() == []


async def test_an_idle_path_that_answers_is_not_taken_for_dead() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        ours, _ = await linked(one, other)
        started_at = asyncio.get_running_loop().time()
        await until(lambda: asyncio.get_running_loop().time() > started_at + 120.0, 200.0, 0.05)
        ours.send(frame_of(b"still here"))
        await until(lambda: other.received == [b"still here"])


def _dead(offer: Description, port: int = 9) -> Description:
    candidate = IceCandidate(CandidateKind.HOST, Address("127.0.0.1", port))
    return replace(offer, role=DtlsRole.ACTIVE, candidates=(candidate,))


async def test_a_dead_candidate_fails_in_time_and_says_what_was_tried() -> None:
    async def dead_end(_: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        return accepted(offer_id, callee.identity.public_key, _dead(offer))

    async with network() as peers:
        one, other = peers.add(connect_timeout_s=15.0), peers.add()
        peers.carry = dead_end
        connecting = asyncio.ensure_future(one.pool.connect(other.peer_id))
        took_s = await until(connecting.done, 16.5)
        assert took_s >= 15.0
        with pytest.raises(LinkAttemptFailed) as failed:
            await connecting
        assert failed.value.stage is Stage.ICE
        assert "nothing came of it within 15 s" in str(failed.value)
        assert "to 127.0.0.1:9: no answer" in str(failed.value)
        assert one.pool.counts["failed_ice"] == 1


async def test_an_answer_without_usable_candidates_fails_at_once() -> None:
    async def no_candidates(
        _: Node, callee: Node, offer_id: bytes, offer: Description
    ) -> CallResult:
        elsewhere = IceCandidate(CandidateKind.HOST, Address("2001:db8::1", 5))
        answer = replace(offer, role=DtlsRole.ACTIVE, candidates=(elsewhere,))
        return accepted(offer_id, callee.identity.public_key, answer)

    async with network() as peers:
        one, other = peers.add(), peers.add()
        peers.carry = no_candidates
        async with asyncio.timeout(2.0):
            with pytest.raises(LinkAttemptFailed, match=r"fits theirs .*2001:db8::1") as failed:
                await one.pool.connect(other.peer_id)
        assert failed.value.stage is Stage.ICE


async def test_a_machine_without_an_address_says_so() -> None:
    async with network() as peers:
        one, other = peers.add(ice_addresses=()), peers.add()
        with pytest.raises(LinkAttemptFailed, match="no network address"):
            await one.pool.connect(other.peer_id)
        with pytest.raises(CallFailed, match="no network address"):
            await other.pool.connect(one.peer_id)


async def _expect_no_link(
    one: Node, other: Node, stages: set[Stage], limit_s: float = 20.0
) -> float:
    """Connecting fails at one of these stages, and neither side ever has a link.

    Returns the seconds after which the other side knew.
    """
    connecting = asyncio.ensure_future(one.pool.connect(other.peer_id))
    await until(connecting.done, limit_s, 0.01)
    with pytest.raises(LinkAttemptFailed) as failed:
        await connecting
    assert failed.value.stage in stages
    took_s = await until(lambda: not other.pool._incoming, limit_s, 0.01)
    for node in (one, other):
        assert node.pool.links() == node.announced == []
    return took_s


async def test_a_wrong_fingerprint_in_the_answer_is_no_link_on_either_side() -> None:
    async def forged(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        answered = await call_directly(caller, callee, offer_id, offer)
        description = replace(answered.description, fingerprint=bytes(32))
        return replace(answered, description=description)

    async with network() as peers:
        one, other = peers.add(), peers.add()
        peers.carry = forged
        assert await _expect_no_link(one, other, {Stage.DTLS}) < 1.0
        assert other.pool.counts["failed_sctp"] == 1


async def test_a_wrong_fingerprint_in_the_offer_is_no_link_on_either_side() -> None:
    async def forged(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        return await call_directly(caller, callee, offer_id, replace(offer, fingerprint=bytes(32)))

    async with network() as peers:
        one, other = peers.add(), peers.add()
        peers.carry = forged
        assert await _expect_no_link(one, other, {Stage.DTLS, Stage.SCTP}) < 1.0


async def test_a_wrong_offer_id_is_no_link_on_either_side() -> None:
    async def forged(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        answered = await call_directly(caller, callee, offer_id, offer)
        return replace(answered, offer_id=bytes(16))

    async with network() as peers:
        one, other = peers.add(), peers.add()
        peers.carry = forged
        await _expect_no_link(one, other, {Stage.SESSION})
        assert other.counters.refused["not_authentic"] == 1


async def test_another_identity_behind_the_right_certificate_is_no_link() -> None:
    async def forged(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        impostor = Identity(bytes(32))
        answer = await callee.pool.answer(offer_of(impostor.public_key, offer_id, offer))
        return accepted(offer_id, callee.identity.public_key, answer)

    async with network() as peers:
        one, other = peers.add(), peers.add()
        peers.carry = forged
        await _expect_no_link(one, other, {Stage.SESSION})
        assert other.counters.refused["not_authentic"] == 1


async def test_an_answer_by_another_peer_is_refused_before_anything_is_sent() -> None:
    async def forged(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        answered = await call_directly(caller, callee, offer_id, offer)
        return replace(answered, peer_key=Identity(bytes(32)).public_key)

    async with network() as peers:
        one, other = peers.add(), peers.add()
        peers.carry = forged
        await _expect_no_link(one, other, {Stage.CALL})


async def test_an_answer_that_leaves_the_dtls_role_open_is_refused() -> None:
    async def forged(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        answered = await call_directly(caller, callee, offer_id, offer)
        description = replace(answered.description, role=DtlsRole.ACTPASS)
        return replace(answered, description=description)

    async with network() as peers:
        one, other = peers.add(), peers.add()
        peers.carry = forged
        connecting = asyncio.ensure_future(one.pool.connect(other.peer_id))
        await until(connecting.done, 20.0, 0.01)
        with pytest.raises(LinkFailed, match="leaves the DTLS role open"):
            await connecting


async def test_an_offer_that_insists_on_being_the_client_gets_a_server() -> None:
    async def insisting(
        caller: Node, callee: Node, offer_id: bytes, offer: Description
    ) -> CallResult:
        return await call_directly(caller, callee, offer_id, replace(offer, role=DtlsRole.ACTIVE))

    async with network() as peers:
        one, other = peers.add(), peers.add()
        peers.carry = insisting
        ours, _ = await linked(one, other)
        assert ours._channel._dtls._role == "client"  # type: ignore[attr-defined]
        ours.send(frame_of(b"hello"))
        await until(lambda: other.received == [b"hello"])


async def test_calls_that_fail_say_why() -> None:
    async with network() as peers:
        one = peers.add()
        with pytest.raises(CallFailed, match="it is offline"):
            await one.pool.connect(bytes(20))
        with pytest.raises(CallFailed, match="cannot link to itself"):
            await one.pool.connect(one.peer_id)
        offer = _dead(Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ()))
        with pytest.raises(CallFailed, match="cannot link to itself"):
            await one.pool.answer(offer_of(one.identity.public_key, bytes(16), offer))


async def test_a_fault_in_the_caller_is_a_failure_and_a_defect() -> None:
    async def broken(*_: object) -> CallResult:
        raise ZeroDivisionError

    async with network() as peers:
        one, other = peers.add(), peers.add()
        peers.carry = broken
        with pytest.raises(LinkFailed, match="in the log"):
            await one.pool.connect(other.peer_id)
        assert [type(defect) for defect in one.pool.defects] == [ZeroDivisionError]
        one.expected_defects = [ZeroDivisionError]


async def test_a_close_that_is_cancelled_goes_on() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        ours, theirs = await linked(one, other)
        closing = asyncio.ensure_future(ours.close("first try"))
        await turn()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await until(theirs.closed.done)
        assert theirs.closed.result() == "closed by the peer: first try"


async def test_a_call_without_an_answer_ends_in_time() -> None:
    async def silent(*_: object) -> CallResult:
        await asyncio.Event().wait()
        raise AssertionError("never")

    async with network() as peers:
        one, other = peers.add(call_timeout_s=30.0), peers.add()
        peers.carry = silent
        connecting = asyncio.ensure_future(one.pool.connect(other.peer_id))
        await until(connecting.done, 31.0)
        with pytest.raises(LinkAttemptFailed, match="no answer within 30 s") as failed:
            await connecting
        assert failed.value.stage is Stage.CALL


async def test_after_a_failure_the_next_attempt_waits_and_a_success_forgets() -> None:
    async with network() as peers:
        one, other = peers.add(backoff_first_s=8.0), peers.add()
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
        assert wait_s < 8.0  # as after the first failure, not the second
        peers.nodes[other.peer_id] = hidden


async def test_everybody_who_waits_for_an_attempt_gets_its_link() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        waiting = [asyncio.ensure_future(one.pool.connect(other.peer_id)) for _ in range(4)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        links = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(links[0], asyncio.CancelledError)
        assert links[1:] == [one.pool.get(other.peer_id)] * 3
        await until(lambda: other.pool.links())
        assert other.pool.counts == {"opened_incoming": 1}


async def test_connecting_to_a_peer_that_is_calling_joins_its_call() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        calling = asyncio.ensure_future(one.pool.connect(other.peer_id))
        await until(lambda: other.pool._incoming)
        joined = await other.pool.connect(one.peer_id)
        assert joined.direction == "incoming"
        assert await calling is one.pool.get(other.peer_id)
        assert other.pool.counts == {"opened_incoming": 1}


@pytest.mark.parametrize("smaller_first", [True, False])
async def test_calls_both_ways_at_once_end_with_one_link(smaller_first: bool) -> None:
    async with network() as peers:
        pair = sorted((peers.add(), peers.add()), key=lambda node: node.peer_id)
        one, other = pair if smaller_first else reversed(pair)
        await asyncio.gather(one.pool.connect(other.peer_id), other.pool.connect(one.peer_id))
        await until(lambda: not one.pool._outgoing and not one.pool._incoming)
        await until(lambda: not other.pool._outgoing and not other.pool._incoming)
        await until(lambda: len(one.pool.links()) == len(other.pool.links()) == 1)
        assert sum(node.pool.counts["closed_twin"] for node in pair) == 1
        (ours,), (theirs,) = one.pool.links(), other.pool.links()
        assert {ours.direction, theirs.direction} == {"outgoing", "incoming"}
        ours.send(frame_of(b"one"))
        theirs.send(frame_of(b"other"))
        await until(lambda: one.received == [b"other"] and other.received == [b"one"])


async def test_a_call_that_nobody_needs_any_more_is_given_up() -> None:
    given_up: list[Node] = []

    async def slow_one_way(
        caller: Node, callee: Node, offer_id: bytes, offer: Description
    ) -> CallResult:
        if caller is not slow:
            return await call_directly(caller, callee, offer_id, offer)
        try:
            await asyncio.Event().wait()
        finally:
            given_up.append(caller)
        raise AssertionError("never")

    async with network() as peers:
        slow, other = peers.add(), peers.add()
        peers.carry = slow_one_way
        waiting = asyncio.ensure_future(slow.pool.connect(other.peer_id))
        await until(lambda: slow.pool._outgoing)
        await other.pool.connect(slow.peer_id)
        assert (await waiting).direction == "incoming"
        await until(lambda: given_up == [slow])
        assert slow.pool.counts == {"opened_incoming": 1}


async def test_a_call_that_was_answered_goes_on_beside_the_other() -> None:
    async def dead_end_one_way(
        caller: Node, callee: Node, offer_id: bytes, offer: Description
    ) -> CallResult:
        if caller is not slow:
            return await call_directly(caller, callee, offer_id, offer)
        return accepted(offer_id, callee.identity.public_key, _dead(offer))

    async with network() as peers:
        slow, other = peers.add(), peers.add()
        peers.carry = dead_end_one_way
        waiting = asyncio.ensure_future(slow.pool.connect(other.peer_id))
        await until(lambda: [call for call in slow.pool._outgoing.values() if call.answered])
        await other.pool.connect(slow.peer_id)
        link = await waiting
        assert slow.pool._outgoing
        await link.close("used up")
        peers.carry = call_directly
        again = asyncio.ensure_future(slow.pool.connect(other.peer_id))
        await until(lambda: not slow.pool._outgoing, 20.0)  # the dead end
        assert (await again).direction == "outgoing"
        assert slow.pool.links() == [await again]


async def test_a_call_that_crossed_waits_for_the_other_one() -> None:
    async def crossed(
        caller: Node, callee: Node, offer_id: bytes, offer: Description
    ) -> CallResult:
        if caller.peer_id < callee.peer_id:
            return await call_directly(caller, callee, offer_id, offer)
        raise CallCrossed("the other's call goes on")

    async with network() as peers:
        one, other = sorted((peers.add(), peers.add()), key=lambda node: node.peer_id)
        peers.carry = crossed
        links = await asyncio.gather(
            other.pool.connect(one.peer_id), one.pool.connect(other.peer_id)
        )
        assert [link.direction for link in links] == ["incoming", "outgoing"]
        assert one.pool.counts == {"opened_outgoing": 1}
        assert other.pool.counts == {"opened_incoming": 1}


@pytest.mark.parametrize("caller_is_smaller", [True, False])
@pytest.mark.parametrize("first_asked_by_caller", [True, False])
async def test_a_peer_that_lost_its_link_replaces_it(
    caller_is_smaller: bool, first_asked_by_caller: bool
) -> None:
    async with network() as peers:
        smaller, larger = sorted((peers.add(), peers.add()), key=lambda node: node.peer_id)
        caller, callee = (smaller, larger) if caller_is_smaller else (larger, smaller)
        if first_asked_by_caller:
            lost, stale = await linked(caller, callee)
        else:
            stale, lost = await linked(callee, caller)
        _silence(lost)  # so that closing it is not heard
        await lost.close()
        assert callee.pool.links() == [stale]
        fresh = await caller.pool.connect(callee.peer_id)
        await until(lambda: callee.pool.get(caller.peer_id) is not stale)
        fresh.send(frame_of(b"fresh"))
        await until(lambda: callee.received == [b"fresh"])
        await until(stale.closed.done, 45.0)
        assert caller.pool.links() == [fresh]
        assert len(callee.pool.links()) == 1


async def test_the_cap_closes_the_least_recently_used_idle_link() -> None:
    async with network() as peers:
        hub = peers.add(max_links=2, busy_s=5.0)
        first, second, third, fourth = (peers.add() for _ in range(4))
        to_first, _ = await linked(hub, first)
        to_second, _ = await linked(hub, second)
        with pytest.raises(LinkFailed, match="all 2 links are in use"):
            await hub.pool.connect(third.peer_id)
        with pytest.raises(CallFailed, match="no link now: all 2 links are in use"):
            await third.pool.connect(hub.peer_id)
        await asyncio.sleep(5.0)
        to_first.send(frame_of(b"used after the other"))
        await until(lambda: first.received)
        await asyncio.sleep(5.0)
        await linked(hub, third)
        assert to_second.closed.result() == "closed by us: making room for another link"
        await until(lambda: not second.pool.links())
        assert hub.pool.get(first.peer_id) is to_first
        assert hub.pool.counts["closed_to_make_room"] == 1
        await linked(fourth, hub)  # a caller gets room in the same way
        assert to_first.closed.done()
        assert len(hub.pool.links()) == 2


async def test_only_so_many_calls_are_answered_at_once() -> None:
    async with network() as peers:
        busy, caller = peers.add(), peers.add()
        offer = _dead(Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ()))
        strangers = [Identity(bytes([n]) * 32) for n in range(limits.LINK_ATTEMPTS)]
        for stranger in strangers:
            await busy.pool.answer(offer_of(stranger.public_key, bytes(16), offer))
        with pytest.raises(CallFailed, match="too many calls"):
            await caller.pool.connect(busy.peer_id)
        # One that calls again takes its own place.
        await busy.pool.answer(offer_of(strangers[0].public_key, bytes(16), offer))
        await until(lambda: not busy.pool._incoming, 20.0)
        assert busy.pool.counts["failed_ice"] == limits.LINK_ATTEMPTS


async def test_a_link_that_nobody_uses_is_closed_on_both_sides() -> None:
    async with network() as peers:
        one, other = peers.add(idle_timeout_s=300.0), peers.add(idle_timeout_s=3600.0)
        ours, theirs = await linked(one, other)
        await until(ours.closed.done, 500.0, 0.5)
        assert ours.closed.result() == "closed by us: idle"
        assert asyncio.get_running_loop().time() - ours.last_used_at >= 300.0
        await until(theirs.closed.done)
        assert theirs.closed.result() == "closed by the peer: idle"
        assert one.pool.counts["closed_idle"] == 1


async def test_a_peer_that_takes_nothing_is_given_up() -> None:
    async with network() as peers:
        one, other = peers.add(stall_timeout_s=30.0), peers.add()
        ours, theirs = await linked(one, other)
        dtls: Any = theirs._channel._dtls  # type: ignore[attr-defined]
        dtls._receive = None  # answers ICE, and nothing else
        for _ in range(40):
            ours.send(largest_frame(ours))
        took_s = await until(ours.closed.done, 100.0)
        assert ours.closed.result() == "closed by us: stalled"
        assert took_s >= 30.0


async def test_a_fault_in_what_takes_links_ends_only_that_link() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()

        def fails_at_first(link: Link) -> None:
            if len(other.announced) == 1:
                raise ZeroDivisionError

        other.pool.subscribe(fails_at_first)
        ours = await one.pool.connect(other.peer_id)
        await until(ours.closed.done)
        assert ours.closed.result() == "closed by the peer: internal error"
        assert other.pool.counts["closed_fault"] == 1
        other.expected_defects = [ZeroDivisionError]
        ours, _ = await linked(one, other)
        ours.send(frame_of(b"fine"))
        await until(lambda: other.received == [b"fine"])


async def test_a_handler_that_refuses_a_frame_closes_the_link_by_the_errors_name() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()

        def refuse(frame: bytes) -> None:
            raise Malformed(f"a frame of {len(frame)} bytes")

        other.pool.subscribe(lambda link: link.register(range(64, 65), refuse))
        ours, theirs = await linked(one, other)
        ours.send(b"\x91\x40")
        await until(ours.closed.done)
        assert theirs.closed.result() == "a frame of 2 bytes"
        assert ours.closed.result() == "closed by the peer: malformed"
        assert other.counters.refused == {"malformed": 1}


async def test_each_subscriber_has_its_types_and_all_others_are_refused() -> None:
    async with network() as peers:
        one, other = peers.add(), peers.add()
        relayed: list[bytes] = []
        other.pool.subscribe(lambda link: link.register(range(64, 96), relayed.append))
        ours, theirs = await linked(one, other)
        ours.send(frame_of(b"one"))
        ours.send(b"\x91\x5f")
        await until(lambda: relayed == [b"\x91\x5f"])
        assert other.received == [b"one"]
        ours.send(b"\x91\x60")
        await until(ours.closed.done)
        assert theirs.closed.result() == "a frame of the unknown type 96"
        assert ours.closed.result() == "closed by the peer: malformed"
        assert other.counters.refused == {"malformed": 1}


@pytest.mark.parametrize("stage", ["calling", "connecting", "linked"])
async def test_closing_a_pool_ends_everything_within_a_second(stage: str) -> None:
    async def silent(*_: object) -> CallResult:
        await asyncio.Event().wait()
        raise AssertionError("never")

    async def dead_end(_: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        return accepted(offer_id, callee.identity.public_key, _dead(offer))

    async with network() as peers:
        one, other, third = peers.add(), peers.add(), peers.add()
        if stage != "linked":
            peers.carry = silent if stage == "calling" else dead_end
        offer = _dead(Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ()))
        await one.pool.answer(offer_of(Identity(bytes(32)).public_key, bytes(16), offer))
        connecting = [
            asyncio.ensure_future(one.pool.connect(peer.peer_id)) for peer in (other, third)
        ]
        if stage == "linked":
            for link in await asyncio.gather(*connecting):
                link.send(largest_frame(link))
                link.send(largest_frame(link))
        else:
            await asyncio.wait(connecting, timeout=0.05)
        started_at = asyncio.get_running_loop().time()
        await one.pool.close()
        assert asyncio.get_running_loop().time() - started_at < 1.0
        assert one.pool.links() == []
        outcomes = await asyncio.gather(*connecting, return_exceptions=True)
        assert all(isinstance(outcome, LinkClosed | Link) for outcome in outcomes)
        with pytest.raises(LinkClosed, match="the node is stopping"):
            await one.pool.connect(other.peer_id)
        with pytest.raises(CallFailed, match="the node is stopping"):
            await one.pool.answer(offer_of(other.identity.public_key, bytes(16), offer))
        await until(lambda: not other.pool.links())


async def test_closing_at_any_moment_of_an_attempt_leaves_nothing(loop: VirtualLoop) -> None:
    internet = loop.network
    assert isinstance(internet, Internet)
    is_linked = False
    for packets in itertools.count():
        async with network() as peers:
            one, other = peers.add(), peers.add()
            connecting = asyncio.ensure_future(one.pool.connect(other.peer_id))
            enough = internet.carrier.delivered + packets
            await until(
                lambda: internet.carrier.delivered >= enough or connecting.done(),  # noqa: B023
                step_s=LOOPBACK_S / 2,
            )
            is_linked = connecting.done()
            await other.pool.close()
            await one.pool.close()
            await asyncio.gather(connecting, return_exceptions=True)
        if is_linked:
            break
    assert packets > 10


async def test_the_caller_of_answer_may_give_up() -> None:
    async with network() as peers:
        one = peers.add()
        offer = _dead(Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ()))
        key = Identity(bytes(32)).public_key
        await one.pool.answer(offer_of(key, bytes(16), offer))  # aiortc is imported from here on
        for turns in range(60):
            answering = asyncio.ensure_future(one.pool.answer(offer_of(key, bytes(16), offer)))
            for _ in range(turns):
                await turn()
            answering.cancel()
            await asyncio.wait([answering])


def test_the_pool_does_not_import_aiortc() -> None:
    code = (
        "import sys, node.links.pool.pool;"
        "print([name for name in ('aiortc', 'aioice', 'av', 'OpenSSL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")
