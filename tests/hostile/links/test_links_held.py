"""Identities that hold links, and calls being answered, for nothing: honest people get theirs."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from node.links.link import Link
from protocol import limits
from protocol.description import Description, DtlsRole
from protocol.errors import LinkClosed, LinkFailed, ModswarmError
from protocol.identity import Identity
from protocol.signaling import CallResult
from tests.hostile.told import RecordProperty
from tests.node.links.dead_ends import dead_end_of
from tests.node.links.link_network import (
    Network,
    Node,
    call_directly,
    frame_of,
    linked,
    network,
    offer_of,
)

pytestmark = pytest.mark.usefixtures("links")

ATTACKERS = 64
FEW = 16
FRAME_EVERY_S = 3.0
OFFER_EVERY_S = 10.0
MOD_ID = bytes(32)
DESCRIBED = Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ())


async def held_alive(link: Link) -> None:
    """One meaningless frame every 3 s, for as long as there is a link."""
    with contextlib.suppress(LinkClosed):
        while True:
            link.send(frame_of(b"still here"))
            await asyncio.sleep(FRAME_EVERY_S)


async def take_all_links(
    peers: Network, hub: Node, held: asyncio.TaskGroup, count: int = FEW
) -> list[Node]:
    """As many identities as the hub has links each open one, as far as they are let."""
    attackers = [await peers.add(busy_patience_s=0.0) for _ in range(count)]
    for attacker in attackers:
        with contextlib.suppress(ModswarmError):
            link = await attacker.pool.connect(hub.peer_id)
            held.create_task(held_alive(link))
    return attackers


async def seconds_to_link(caller: Node, callee: Node) -> float:
    started = asyncio.get_running_loop().time()
    await linked(caller, callee)
    return asyncio.get_running_loop().time() - started


async def test_links_that_only_send_frames_give_way_to_newcomers(
    record_property: RecordProperty,
) -> None:
    """Who fetched once, was of use or is a friend keeps its link; our own links are opened."""
    async with network() as peers, asyncio.TaskGroup() as held:
        hub = await peers.add(max_links=ATTACKERS)
        source, customer = await peers.add(), await peers.add()
        alone_s = await seconds_to_link(source, hub)
        record_property("alone_s", alone_s)
        record_property("attackers", ATTACKERS)
        await linked(customer, hub)
        now = asyncio.get_running_loop().time()
        hub.pool.usefulness.received(source.peer_id, 2**20, now)
        hub.pool.usefulness.served(customer.peer_id, MOD_ID, 0, 2**16, now)
        await take_all_links(peers, hub, held, ATTACKERS)
        await asyncio.sleep(60.0)
        for _ in range(8):
            for caller, callee in ((await peers.add(), hub), (hub, await peers.add())):
                seconds = await seconds_to_link(caller, callee)
                record_property("attacked_s", seconds)
                assert seconds <= alone_s + 0.1
        assert len(hub.pool.links()) <= ATTACKERS
        assert hub.pool.get(source.peer_id) is not None
        assert hub.pool.get(customer.peer_id) is not None
        await hub.pool.close()


async def test_a_newcomer_that_comes_within_the_tenure_of_all_is_told_when_to_come_again() -> None:
    async with network() as peers, asyncio.TaskGroup() as held:
        hub = await peers.add(max_links=FEW)
        await take_all_links(peers, hub, held)
        seconds = await seconds_to_link(await peers.add(), hub)
        assert seconds <= limits.LINK_TENURE_S + 6.0
        await hub.pool.close()


async def test_identities_that_fetch_one_chunk_again_and_again_keep_no_link() -> None:
    """An endless downloader earns its chunks once; a person who fetches more keeps the place."""
    async with network() as peers, asyncio.TaskGroup() as held:
        hub = await peers.add(max_links=FEW)
        attackers = await take_all_links(peers, hub, held)

        async def fetch_again() -> None:
            while hub.pool.links():
                for attacker in attackers:
                    now = asyncio.get_running_loop().time()
                    hub.pool.usefulness.served(attacker.peer_id, MOD_ID, 0, 2**16, now)
                await asyncio.sleep(1.0)

        held.create_task(fetch_again())
        await asyncio.sleep(2 * limits.LINK_TENURE_S)
        person = await peers.add()
        await linked(person, hub)
        for chunk in range(4):
            now = asyncio.get_running_loop().time()
            hub.pool.usefulness.served(person.peer_id, MOD_ID, chunk, 2**16, now)
        await asyncio.sleep(limits.LINK_TENURE_S)
        for _ in range(FEW):
            await asyncio.sleep(3.0)
            with contextlib.suppress(ModswarmError):
                await linked(await peers.add(busy_patience_s=0.0), hub)
        assert hub.pool.get(person.peer_id) is not None
        await hub.pool.close()


@pytest.mark.parametrize("answer_takes_s", [0.0, limits.ROUND_TRIP_MS_MAX / 1000])
async def test_offers_that_no_ice_follows_keep_no_honest_call_out(
    monkeypatch: pytest.MonkeyPatch, answer_takes_s: float, record_property: RecordProperty
) -> None:
    """17 identities for 16 slots, an offer each per 10 s; they say that they are far."""
    monkeypatch.setattr(limits, "LINK_ATTEMPTS", 16)
    async with network() as peers:
        hub = await peers.add()
        alone_s = await seconds_to_link(await peers.add(), hub)
        record_property("alone_s", alone_s)
        offer = dead_end_of(DESCRIBED)
        attackers = [Identity(bytes([number]) * 32) for number in range(1, 18)]

        async def offers() -> None:
            while True:
                for attacker in attackers:
                    made = offer_of(attacker.public_key, bytes(16), offer)
                    with contextlib.suppress(ModswarmError):
                        await hub.pool.answer(replace(made, answer_takes_s=answer_takes_s))
                await asyncio.sleep(OFFER_EVERY_S)

        attack = asyncio.create_task(offers())
        seconds = []
        for _ in range(12):
            await asyncio.sleep(1.7)
            seconds.append(await seconds_to_link(await peers.add(), hub))
        attack.cancel()
        record_property("attacked_s", max(seconds))
        record_property("attackers", len(attackers))
        # A newcomer's word on its round trip is worth 2 s; then comes the caller's jitter.
        assert max(seconds) <= alone_s + 3.1
        assert sorted(seconds)[6] <= alone_s + 0.1


async def test_calls_of_ours_that_nobody_answers_keep_no_other_call_from_being_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Providers that never answer: as many as there are calls, and then one that does."""
    monkeypatch.setattr(limits, "LINK_CALLS", 8)

    async with network() as peers:
        hub = await peers.add()
        silent = {(await peers.add()).peer_id for _ in range(8)}

        async def carry(
            caller: Node, callee: Node, offer_id: bytes, offer: Description
        ) -> CallResult:
            if callee.peer_id in silent:
                await asyncio.Event().wait()
            return await call_directly(caller, callee, offer_id, offer)

        peers.carry = carry
        calls = [asyncio.create_task(hub.pool.connect(peer_id)) for peer_id in sorted(silent)]
        person = await peers.add()
        await asyncio.sleep(1.0)
        with pytest.raises(LinkFailed, match="calls"):
            await hub.pool.connect(person.peer_id)
        await asyncio.sleep(limits.LINK_SLOW_S)
        await seconds_to_link(hub, person)
        assert sum(call.done() for call in calls) == 1
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, ModswarmError) for one in outcomes)


async def test_offers_that_come_again_at_once_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, record_property: RecordProperty
) -> None:
    """16 identities for 16 slots, each of which calls anew before its last call's time is over."""
    monkeypatch.setattr(limits, "LINK_ATTEMPTS", 16)
    async with network() as peers:
        hub = await peers.add()
        people = [await peers.add() for _ in range(5)]
        alone_s = await seconds_to_link(people.pop(), hub)
        record_property("alone_s", alone_s)
        offer = dead_end_of(DESCRIBED)
        attackers = [Identity(bytes([number]) * 32) for number in range(1, 17)]
        record_property("attackers", len(attackers))
        for again in range(6):
            for attacker in attackers:
                made = offer_of(attacker.public_key, bytes([again]) * 16, offer)
                with contextlib.suppress(ModswarmError):
                    await hub.pool.answer(made)
            await asyncio.sleep(limits.LINK_PROOF_S / 4)
            if again > 1:
                seconds = await seconds_to_link(people.pop(), hub)
                record_property("attacked_s", seconds)
                assert seconds <= alone_s + 0.1
