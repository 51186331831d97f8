"""2: a node behind a NAT that nobody told of it says nothing false of itself, and is called.

Two nodes behind one switch find each other, whoever each of them joined through.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from protocol import records
from protocol.causes.cause import Cause
from protocol.causes.network_kind import NetworkKind
from protocol.errors import NetworkError, Unreachable
from protocol.overlay.contacts import Contact
from protocol.records import PeerBody
from simulations.internet.boxes.behaviour import Hairpinning, NatBehaviour
from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import move_in, settle, try_link
from simulations.residents.sites import SITES
from simulations.residents.whole import WholeResident
from simulations.residents.world import Resident, World
from tests.found.crashes import crash

SEED = 3
WATCHED_S = 45.0
NATS = ("restricted", "port-restricted", "symmetric", "linux")


def joins_through(world: World, known: Sequence[Resident]) -> None:
    """Whoever moves in next knows these, and nobody else."""

    def introducers(_newcomer: Resident) -> list[Contact]:
        return [one.contact for one in known]

    world.introducers = introducers  # type: ignore[method-assign, assignment]


async def own_bodies(reader: Resident, of: Resident) -> list[PeerBody]:
    """What a node says of itself where others read it."""
    server = reader.running.server
    reading = await reader.host.create_task(server.read(of.identity.peer_id, records.PEER))
    return [one.body for one in reading.records.values() if isinstance(one.body, PeerBody)]


@pytest.mark.parametrize("publics", [2, 5, 12])
@pytest.mark.parametrize("nat", NATS)
async def test_it_never_says_that_it_is_reachable_nor_publishes_an_address_and_registers(
    nat: str, publics: int, tmp_path: Path
) -> None:
    world = World(SEED, folder=tmp_path)
    with virtual_libraries(world.internet):
        await world.populate(publics)
        node = move_in(world, SITES[nat])
        await node.start()
        for _ in range(int(10 * WATCHED_S)):
            assert node.running_node.status().reachable is not True
            await asyncio.sleep(0.1)
        assert node.running_node.status().registrars
        for body in await own_bodies(world.residents[0], node):
            assert body.addresses == ()
            assert not body.capabilities
        assert all(
            node.identity.peer_id
            not in (e.contact.peer_id for e in one.running.server.tables.entries())
            for one in world.residents[:publics]
        ), "nobody takes it for a contact"
        await world.close()


async def test_the_first_of_a_network_behind_a_nat_says_that_it_does_not_know() -> None:
    world = World(SEED)
    box = world.internet.add_nat(SITES["port-restricted"].boxes[0])
    node = world.add(host=world.internet.add_host(behind=box))
    await node.start()
    await asyncio.sleep(WATCHED_S)
    view = node.running.own_network.view()
    assert view.verdict.name == "UNKNOWN"
    await world.close()


@pytest.mark.parametrize("hairpinning", [Hairpinning.NONE, Hairpinning.OUTSIDE_SOURCE])
async def test_two_behind_one_switch_that_joined_through_others_find_each_other(
    hairpinning: Hairpinning, tmp_path: Path
) -> None:
    world = World(SEED, folder=tmp_path)
    with virtual_libraries(world.internet):
        await world.populate(8)
        home = world.internet.add_nat(NatBehaviour(hairpinning=hairpinning))
        pair: list[WholeResident] = []
        everybody = world.residents
        for through in (everybody[0], everybody[7]):
            person = move_in(world, SITES["public"], behind=home)
            joins_through(world, [through])
            await settle(person)
            pair.append(person)
        for caller, callee in (pair, pair[::-1]):
            outcome, link = await try_link(caller, callee)
            assert (outcome.way, outcome.failure) == ("direct", "")
            assert link is not None
            with caller.host.running():
                await link.close("the other calls next")
            await asyncio.sleep(2.0)
        await world.close()


async def test_two_on_a_lan_alone_find_each_other_by_a_third_there(tmp_path: Path) -> None:
    world = World(SEED, folder=tmp_path)
    with virtual_libraries(world.internet):
        switch = world.internet.add_nat(NatBehaviour())
        people: list[Any] = []
        for number in range(3):
            person = move_in(world, SITES["public"], behind=switch)
            joins_through(world, people[:1])
            await person.start()
            people.append(person)
            if number:
                await person.running.joined.wait()
        await asyncio.sleep(20.0)
        outcome, _ = await try_link(people[1], people[2])
        assert (outcome.way, outcome.failure) == ("direct", "")
        await world.close()


# What a caller reads ---------------------------------------------------------------------------


async def why(caller: WholeResident, callee_id: Any) -> NetworkError:
    with caller.host.running(), pytest.raises(NetworkError) as failed:
        await caller.running_node.pool.connect(callee_id)
    return failed.value


@pytest.mark.parametrize("ends", ["in order", "by a crash"])
async def test_a_caller_never_reads_that_a_peer_is_offline_as_nobody_can_know_that(
    ends: str, tmp_path: Path
) -> None:
    world = World(SEED, folder=tmp_path)
    with virtual_libraries(world.internet):
        await world.populate(8)
        caller, callee = move_in(world, SITES["public"]), move_in(world, SITES["port-restricted"])
        await settle(caller)
        await settle(callee)
        callee_id = callee.identity.peer_id
        if ends == "in order":
            await callee.stop()
        else:
            await crash(callee)
        for _ in range(3):
            error = await why(caller, callee_id)
            assert error.cause in (Cause.OFFLINE, Cause.NOT_REGISTERED, Cause.REGISTRARS_SILENT)
            assert "is offline" not in str(error)
            await asyncio.sleep(40.0)
        await world.close()


def test_no_cause_claims_that_a_peer_is_offline() -> None:
    for cause in Cause:
        assert "is offline" not in cause.sentence
    assert "do not reach" in Cause.OFFLINE.sentence


GUESSED = (
    "is offline",
    "are offline",
    "a firewall on one side holds UDP back",
    "cannot open a link now",
    "all other nodes",
)
"""What no node can know for certain, whatever it found out."""


def test_no_sentence_takes_a_guess_for_what_is_known() -> None:
    sentences = [one.sentence for one in Cause] + [one.sentence for one in NetworkKind]
    for sentence in sentences:
        for guessed in GUESSED:
            assert guessed not in sentence.replace("most likely " + guessed, ""), sentence


async def test_a_refusal_that_the_peer_signed_is_told_as_the_peers_own(tmp_path: Path) -> None:
    """A code of a registrar may be its own, so that is told of both."""
    world = World(SEED, folder=tmp_path)
    with virtual_libraries(world.internet):
        await world.populate(6)
        caller, callee = move_in(world, SITES["public"]), move_in(world, SITES["port-restricted"])
        await settle(caller)
        await settle(callee)
        callee.running.callee.refuse_calls()
        error = await why(caller, callee.identity.peer_id)
        assert error.cause is Cause.REFUSED
        assert "the peer's node refused the call" in str(error)
        assert "forwards" in Cause.REFUSED.sentence
        await world.close()


async def test_a_node_that_hears_others_does_not_say_that_none_answers() -> None:
    world = World(SEED)
    await world.populate(3)
    node = world.add()
    await node.start()
    await node.running.joined.wait()
    node.running.joined.clear()
    with node.host.running(), pytest.raises(Unreachable, match="other nodes answer"):
        await node.running.check_joined()
    await world.close()
