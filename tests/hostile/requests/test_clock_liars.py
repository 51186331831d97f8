"""Contacts that call a node's clock wrong: it is believed of most networks, and of no one contact.

One contact that answered every request so made `doctor` blame the clocks of 12 of 12 honest nodes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from node.environment import Environment
from node.overlay.membership import Membership
from node.overlay.rpc.incoming import Incoming
from protocol import records
from protocol.datagrams import DATAGRAM_BODY_BYTES
from protocol.identity import Identity
from protocol.overlay.messages import Code, Method, encode_found
from protocol.reachability.clock_signs import ClockVerdict
from protocol.records import ProviderBody, Record
from simulations.attacks.raw_peer import RawPeer
from simulations.residents.world import PORT, Resident, World
from simulations.seeds import derive_rng

HONEST = 12
AHEAD_S = 3600.0
LIES = (Code.ISSUED_IN_FUTURE, Code.EXPIRED)
DATED = frozenset({Method.STORE, Method.REGISTER})
"""Who answers all other requests like an honest node is asked these."""


@dataclass(slots=True)
class Liar(Resident):
    """Answers these requests with this code, and others like an honest node."""

    lie: Code = Code.ISSUED_IN_FUTURE
    methods: frozenset[Method] = frozenset(Method)

    def make_membership(self) -> Membership:
        membership = Resident.make_membership(self)
        server = membership.server
        server.wire.serve(partial(self._answer, honest=server.protocol.accept))
        return membership

    def _answer(self, incoming: Incoming, *, honest: Callable[[Incoming], None]) -> None:
        if incoming.request.method in self.methods:
            incoming.answer([], self.lie)
        else:
            honest(incoming)


@dataclass(slots=True)
class WrongClock(Resident):
    """An honest node whose clock is off."""

    ahead_s: float = AHEAD_S

    def environment(self) -> Environment:
        wall = self.world.loop.wall_time
        return replace(Resident.environment(self), wall=lambda: wall() + self.ahead_s)


def provider(resident: Resident, mod_id: bytes) -> Record:
    body = ProviderBody(mod_id, complete=True)
    return resident.running.republisher.make(records.PROVIDER, body)


async def share_something(resident: Resident) -> bytes:
    """A mod id for which this node has published its record."""
    mod_id = resident.rng.randbytes(32)
    await resident.host.create_task(resident.running.server.publish(provider(resident, mod_id)))
    return mod_id


async def read(resident: Resident, mod_id: bytes) -> None:
    key = records.provider_key(mod_id)
    await resident.host.create_task(resident.running.server.read(key, records.PROVIDER))


def verdict_of(resident: Resident) -> ClockVerdict:
    return resident.running.server.own_clock.view().verdict


async def move_in(world: World, kind: Callable[..., Resident]) -> Resident:
    resident = world.add(kind)
    await resident.start()
    await resident.running.joined.wait()
    return resident


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("methods", [frozenset(Method), DATED], ids=["all", "dated"])
async def test_one_contact_that_lies_to_all_of_them_sets_no_clock_wrong(
    lie: Code, methods: frozenset[Method]
) -> None:
    world = World(1)
    await world.populate(HONEST)
    await move_in(world, partial(Liar, lie=lie, methods=methods))
    honest = world.residents[:HONEST]
    mods = [await share_something(one) for one in honest]
    for one in honest:
        for mod_id in mods[:3]:
            await read(one, mod_id)
    assert [verdict_of(one) for one in honest] == [ClockVerdict.NO_SIGN] * HONEST
    signs = [one.running.server.own_clock.view().heard for one in honest]
    assert min(signs) >= HONEST - 2, "they have been asked"
    await world.close()


async def test_many_liars_of_one_network_have_one_voice() -> None:
    world = World(1)
    await world.populate(5)
    honest = world.residents[0]
    host = world.internet.add_host(addresses=[f"81.2.69.{number}" for number in range(1, 33)])
    record = provider(honest, bytes(32))
    await honest.host.create_task(honest.running.server.publish(record))
    for number, address in enumerate(host.addresses):
        identity = Identity(derive_rng(1, "liar", number).randbytes(32))
        liar = RawPeer(identity, {Method.STORE: lambda _: (Code.ISSUED_IN_FUTURE, [])})
        await liar.listen(host, PORT, address)
        store = honest.running.server.protocol.call_store(liar.contact, record.key, record)
        assert (await honest.host.create_task(store)).code == Code.ISSUED_IN_FUTURE
    view = honest.running.server.own_clock.view()
    assert (view.verdict, view.heard) == (ClockVerdict.NO_SIGN, 5)
    await world.close()


@pytest.mark.parametrize(
    ("ahead_s", "verdict"),
    [(AHEAD_S, ClockVerdict.AHEAD), (-AHEAD_S, ClockVerdict.BEHIND), (0.0, ClockVerdict.NO_SIGN)],
)
async def test_a_clock_that_is_off_is_told_beside_a_liar(
    ahead_s: float, verdict: ClockVerdict
) -> None:
    world = World(3)
    await world.populate(HONEST)
    await move_in(world, partial(Liar, lie=Code.OK, methods=DATED))
    mods = [await share_something(one) for one in world.residents[:4]]
    off = await move_in(world, partial(WrongClock, ahead_s=ahead_s))
    await share_something(off)
    for mod_id in mods:
        await read(off, mod_id)
    assert verdict_of(off) is verdict
    await world.close()


@pytest.mark.parametrize("ahead_s", [AHEAD_S, -100 * AHEAD_S])
async def test_a_reader_is_not_told_of_clocks_by_two_that_keep_untimely_records(
    ahead_s: float,
) -> None:
    """Nobody has the mod: that is what is told, whatever a few contacts say to keep."""
    world = World(1)
    await world.populate(HONEST)
    mod_id = derive_rng(1, "mod").randbytes(32)
    body = ProviderBody(mod_id, complete=True)
    now = world.loop.wall_time() + ahead_s
    untimely = records.make(
        Identity(derive_rng(1, "publisher").randbytes(32)),
        *(records.PROVIDER, body),
        now=now,
        sequence=1,
    )
    told = encode_found(
        [], [untimely.raw], skip=0, registration_proof=b"", max_bytes=DATAGRAM_BODY_BYTES
    )
    reader = world.residents[0]
    for number in range(2):
        identity = Identity(derive_rng(1, "liar", number).randbytes(32))
        answers: dict[Method, Any] = {
            Method.PING: lambda _: [1],
            Method.FIND_VALUE: lambda _: told,
        }
        liar = RawPeer(identity, answers)
        await liar.move_in(world.internet)
        reader.running.server.protocol.maintenance.answered(liar.contact)
    server = reader.running.server
    reading = await reader.host.create_task(server.read(untimely.key, records.PROVIDER))
    assert not reading.records
    assert len(reading.untimely) == 2
    assert reading.why_empty() is None
    await world.close()
