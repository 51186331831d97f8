"""Attackers who want others to forget a living node: a LEAVE counts for its own sender alone."""

import asyncio

from protocol.identity import Identity
from protocol.overlay.messages import Code, Method
from simulations.attacks.raw_peer import RawPeer
from simulations.residents.world import PORT
from tests.node.overlay.village import Village, village

VICTIM = "30.0.0.1"
ANSWERS = {"ping": lambda _: [1], "meet": lambda _: [1]}


def _is_known(town: Village, peer: RawPeer) -> bool:
    tables = town.node.running.server.tables
    return tables.of(peer.contact).get(peer.contact.peer_id) is not None


async def test_a_leave_is_taken_from_its_own_sender_with_proof_of_its_address() -> None:
    async with village() as town:
        leaver = await town.contact(VICTIM)
        response = await leaver.ask(Method.LEAVE, [], town.node.contact)
        assert response is not None
        assert response.code == Code.OK
        assert not _is_known(town, leaver)


async def test_a_leave_without_proof_changes_nothing() -> None:
    async with village() as town:
        victim = await town.contact(VICTIM)
        victim.token = b""
        response = await victim.ask(Method.LEAVE, [], town.node.contact)
        assert response is not None
        assert response.code == Code.BAD_TOKEN
        assert _is_known(town, victim)


async def test_a_leave_from_another_address_is_none_of_the_contact_s() -> None:
    """Whoever has a node's key at another machine, or relays its datagrams, does not evict it."""
    async with village() as town:
        victim = await town.contact(VICTIM)
        elsewhere = RawPeer(victim.identity, {})
        machine = town.world.internet.add_host(addresses=["30.9.0.1"])
        await elsewhere.listen(machine, PORT)
        elsewhere.counter = 100
        elsewhere.token = victim.token  # it proves the other address
        response = await elsewhere.ask(Method.LEAVE, [], town.node.contact)
        assert response is not None
        assert response.code == Code.BAD_TOKEN
        await elsewhere.ask(Method.LEAVE, [], town.node.contact)  # with proof of its own address
        assert elsewhere.responses[-1].code == Code.OK
        assert _is_known(town, victim)


async def test_a_peer_of_another_id_at_the_same_address_evicts_only_itself() -> None:
    async with village() as town:
        victim = await town.contact(VICTIM)
        other = RawPeer(Identity(b"\x77" * 32), {})
        await other.listen(victim.host, PORT + 1)
        await other.ask(Method.PING, [], town.node.contact)
        await other.ask(Method.LEAVE, [], town.node.contact)
        assert other.responses[-1].code == Code.OK
        assert _is_known(town, victim)


async def test_a_repeated_leave_of_an_earlier_run_is_refused() -> None:
    async with village() as town:
        victim = await town.contact(VICTIM, **ANSWERS)
        old = victim.send(Method.LEAVE, [], town.node.contact)
        await asyncio.sleep(1)
        assert not _is_known(town, victim)
        # It starts again: another epoch, and the node takes it back.
        victim.send(Method.PING, [], town.node.contact, epoch=b"epoch..2")
        await asyncio.sleep(5)
        assert _is_known(town, victim)
        refused = town.node.running.server.counters.refused["replayed"]
        victim.transport.sendto(old, town.node.contact.address)
        await asyncio.sleep(1)
        assert town.node.running.server.counters.refused["replayed"] == refused + 1
        assert _is_known(town, victim)


async def test_a_repeated_leave_that_is_taken_costs_a_living_node_three_seconds() -> None:
    """Where what was noted of the victim was pushed out, its old LEAVE passes: it is asked."""
    async with village() as town:
        victim = await town.contact(VICTIM, **ANSWERS)
        old = victim.send(Method.LEAVE, [], town.node.contact)
        await asyncio.sleep(1)
        victim.send(Method.PING, [], town.node.contact, epoch=b"epoch..2")
        await asyncio.sleep(5)
        assert _is_known(town, victim)
        town.node.running.server.wire._sessions._sessions.clear()
        victim.transport.sendto(old, town.node.contact.address)
        await asyncio.sleep(0.5)
        assert not _is_known(town, victim), "the attack is made"
        await asyncio.sleep(4)
        assert _is_known(town, victim)


async def test_leaves_of_a_crowd_cost_bounded_work_and_state() -> None:
    async with village() as town:
        crowd = [await town.contact(f"40.{number}.0.1") for number in range(1, 60)]
        maintenance = town.node.running.server.protocol.maintenance
        for peer in crowd:
            await peer.ask(Method.LEAVE, [], town.node.contact)
        assert len(maintenance.left_lately) == 32
        assert len(maintenance._rechecks) <= 32
        asked = sum(len(peer.requests) for peer in crowd)
        for _ in range(20):
            for peer in crowd:
                peer.send(Method.LEAVE, [], town.node.contact)
            await asyncio.sleep(0.1)
        await asyncio.sleep(10)
        # Who is no contact any more causes no ping by leaving again.
        assert sum(len(peer.requests) for peer in crowd) - asked <= 32
