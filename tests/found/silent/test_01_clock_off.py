"""1: a node whose clock is off goes by the time of its contacts, and says by how much it is off."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from node.answers.network import ClockReport
from node.faces.cli import exits
from node.overlay.records.publishing import Published
from protocol import limits, records
from protocol.causes.cause import Cause
from protocol.causes.clock import clock_sentence
from protocol.content.lineage import history
from protocol.errors import ClocksDiffer, Unreachable
from protocol.identity import Identity, peer_id_text
from protocol.overlay.messages import Method, decode_pong
from protocol.reachability.clock_signs import ClockVerdict, ClockView
from protocol.records import ProviderBody, Record
from simulations.libraries.seams import virtual_libraries
from simulations.residents.whole import WholeResident
from simulations.residents.world import Resident, World
from tests.found.silent.clocks import WrongClock, WrongClockPerson
from tests.node.faces.commands import status_of
from tests.node.faces.fake_node import LINK, PEER, FakeNode
from tests.simulations.mods_shared import get, share

HOUR_S, DAY_S = 3600.0, 86400.0
SEED = 1
LINEAGE_KEYS = Identity(bytes(range(32)))

REFUSED_FOR_S = 3000.0
"""So long refused, a record is tried again by itself after 40 min."""


async def add(world: World, ahead_s: float) -> WrongClock:
    resident = world.add(partial(WrongClock, ahead_s=ahead_s))
    await resident.start()
    await resident.running.joined.wait()
    assert isinstance(resident, WrongClock)
    return resident


async def publish(resident: Resident) -> tuple[bytes, Published]:
    """The mod id of a provider record, and where it is stored."""
    mod_id = resident.rng.randbytes(32)
    record = resident.running.republisher.make(records.PROVIDER, ProviderBody(mod_id, True))
    published = await resident.host.create_task(resident.running.server.publish(record))
    return mod_id, published


async def finds(resident: Resident, mod_id: bytes) -> bool:
    key = records.provider_key(mod_id)
    reading = await resident.host.create_task(resident.running.server.read(key, records.PROVIDER))
    return bool(reading.records)


async def share_version(resident: Resident, mod_id: bytes) -> None:
    """Sign and store the record of a first version."""

    async def save(_newest: Record, _vouched: Record) -> None:
        return

    publisher = resident.running.lineages.publisher
    publisher.keep(LINEAGE_KEYS, None, save)
    with resident.host.running():
        await publisher.publish(
            LINEAGE_KEYS.public_key, mod_id=mod_id, version=1, wrapped_key=bytes(48)
        )


async def newest(resident: Resident) -> Record | None:
    reader = resident.running.lineages.reader
    with resident.host.running():
        reading = await reader.read(LINEAGE_KEYS.public_key)
    return reading.newest


# The response to PING, and what follows from it ------------------------------------------------


async def test_the_answer_to_a_ping_has_the_contacts_own_time_however_it_was_corrected() -> None:
    world = World(SEED)
    await world.populate(8)
    off = await add(world, HOUR_S)
    asker = world.residents[0]
    ping = asker.running.server.wire.ask(off.contact, Method.PING, [])
    pong = decode_pong((await asker.host.create_task(ping)).result)
    assert off.running.own_clock.view().corrected
    assert pong.seconds == pytest.approx(world.loop.wall_time() + HOUR_S, abs=2.0)
    await world.close()


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S, DAY_S, -DAY_S, 400 * DAY_S])
async def test_as_soon_as_it_has_joined_it_publishes_and_reads_by_the_time_of_others(
    ahead_s: float,
) -> None:
    world = World(SEED)
    await world.populate(8)
    friend = world.residents[0]
    theirs, stored = await publish(friend)
    assert stored.confirmed > 0
    off = await add(world, ahead_s)
    view = off.running.own_clock.view()
    assert view.verdict is (ClockVerdict.AHEAD if ahead_s > 0 else ClockVerdict.BEHIND)
    assert view.corrected
    assert view.ahead_s == pytest.approx(ahead_s, abs=2.0)
    assert off.running.own_clock.now() == pytest.approx(world.loop.wall_time(), abs=2.0)
    ours, stored = await publish(off)
    assert stored.confirmed > 0
    assert not stored.refused
    assert await finds(friend, ours)
    assert await finds(off, theirs)
    await world.close()


@pytest.mark.parametrize("ahead_s", [0.0, 55.0, -55.0])
async def test_up_to_a_minute_all_is_as_it_is(ahead_s: float) -> None:
    world = World(SEED)
    await world.populate(8)
    off = await add(world, ahead_s)
    own = off.running.own_clock
    assert own.view().verdict is ClockVerdict.NO_SIGN
    assert own.now() == world.loop.wall_time() + ahead_s
    assert clock_sentence(own.view()) == ""
    await world.close()


@pytest.mark.parametrize("others", [2, 4])
async def test_by_fewer_than_five_networks_it_is_only_said(others: int) -> None:
    world = World(SEED)
    await world.populate(others)
    off = await add(world, HOUR_S)
    own = off.running.own_clock
    assert not own.view().corrected
    assert own.now() == world.loop.wall_time() + HOUR_S
    sentence = clock_sentence(own.view())
    assert "1 h ahead" in sentence
    assert "by the internet" in sentence
    await world.close()


async def test_a_node_that_starts_with_saved_contacts_has_the_time_before_it_has_joined() -> None:
    world = World(SEED)
    await world.populate(8)
    off = await add(world, -HOUR_S)
    await off.stop()
    assert off.saved
    await off.start()
    await off.running.joined.wait()
    assert off.running.own_clock.view().corrected
    await world.close()


@pytest.mark.parametrize("set_by_s", [-HOUR_S, HOUR_S])
async def test_a_clock_that_is_set_while_it_runs_is_believed_at_once_and_asked_for(
    set_by_s: float,
) -> None:
    """What was told before is of no use then: it was measured against the clock as it was."""
    world = World(SEED)
    await world.populate(8)
    off = await add(world, HOUR_S)
    own = off.running.own_clock
    off.ahead_s += set_by_s
    assert own.now() == world.loop.wall_time() + off.ahead_s
    await asyncio.sleep(limits.CLOCK_LOOK_S + 5)
    assert own.now() == pytest.approx(world.loop.wall_time(), abs=2.0)
    assert own.view().corrected is (off.ahead_s != 0.0)
    await world.close()


async def join_others(world: World, _off: WrongClock) -> None:
    await world.populate(4)


async def set_right(_world: World, off: WrongClock) -> None:
    off.ahead_s = 0.0


@pytest.mark.parametrize("until_known", [join_others, set_right])
async def test_what_was_dated_by_a_wrong_clock_is_dated_anew_once_it_is_known_or_set(
    until_known: Callable[[World, WrongClock], Awaitable[None]],
) -> None:
    """A node alone with three others cannot know; as more join, what it shares is found.

    By then it has been refused for so long that it would not be tried again by itself for 40 min.
    """
    world = World(SEED)
    await world.populate(3)
    off = await add(world, 2 * DAY_S)
    mod_id = bytes(32)
    off.running.republisher.keep("mod", records.PROVIDER, lambda: ProviderBody(mod_id, True))
    await share_version(off, mod_id)
    await asyncio.sleep(REFUSED_FOR_S)
    assert not await finds(world.residents[0], mod_id)
    with pytest.raises(ClocksDiffer):
        await newest(world.residents[0])
    await until_known(world, off)
    await asyncio.sleep(limits.CLOCK_LOOK_S + 5.0)
    assert off.running.own_clock.now() == pytest.approx(world.loop.wall_time(), abs=2.0)
    assert await finds(world.residents[0], mod_id)
    found = await newest(world.residents[0])
    assert found is not None
    assert history.body_of(found).mod_id == mod_id
    await world.close()


# The whole of it -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead_s", "unreachable"), [(HOUR_S, True), (-DAY_S, False), (-HOUR_S, True), (DAY_S, False)]
)
async def test_it_shares_gets_calls_and_is_called(
    ahead_s: float, unreachable: bool, tmp_path: Path
) -> None:
    world = World(SEED, folder=tmp_path)
    with virtual_libraries(world.internet):
        await world.populate(7)
        people: list[WholeResident] = []
        for kind in (partial(WrongClockPerson, ahead_s=ahead_s), WholeResident, WholeResident):
            person: Any = world.add(kind, unreachable=unreachable)
            await person.start()
            await person.running.joined.wait()
            people.append(person)
        off, getter, sharer = people
        await asyncio.sleep(30.0)  # both ends register
        ours = await share(off, tmp_path / "ours", b"a" * 5000)
        theirs = await share(sharer, tmp_path / "theirs", b"b" * 5000)
        got, _ = await get(getter, ours, tmp_path / "got")
        assert got.bytes_fetched > 0
        assert [one.direction for one in off.running_node.pool.links()] == ["incoming"]
        got, _ = await get(off, theirs, tmp_path / "fetched")
        assert got.bytes_fetched > 0
        assert off.running_node.pool.links()[-1].direction == "outgoing"
        assert "ahead" in off.running_node.clock_sentence or ahead_s < 0
        await world.close()


# Every face says it ----------------------------------------------------------------------------

OFF = ClockView(ClockVerdict.AHEAD, 7, 8, 3725.0, corrected=True)
SAID = "The clock of this computer is 1 h 2 min ahead, by the word of contacts in 7 of 8 networks."

FACES: list[tuple[str, ...]] = [
    ("status",),
    ("doctor",),
    ("share", "{folder}"),
    ("get", "{link}", "--to", "{folder}/out"),
    ("connect", "{peer}"),
    ("peers", "--has", "{link}"),
    ("dht", "lookup", "{link}"),
    ("dht", "get", "{link}"),
    ("dht", "crawl"),
    ("id",),
    ("ls",),
    ("links",),
]


def words(face: tuple[str, ...], folder: Path) -> list[str]:
    return [one.format(folder=folder, link=LINK, peer=peer_id_text(PEER)) for one in face]


@pytest.mark.parametrize("face", FACES, ids=" ".join)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_every_face_says_by_how_much_and_what_to_do(
    face: tuple[str, ...],
    as_json: bool,
    node: FakeNode,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    node.clock = OFF
    node.doctor.report = replace(node.doctor.report, clock=ClockReport.of(OFF))
    assert status_of(*words(face, tmp_path), *(["--json"] if as_json else [])) == exits.OK
    shown = capsys.readouterr()
    told = " ".join((shown.out + shown.err).split())
    assert told.count(SAID) == 1
    assert "set its clock by the internet" in told


def test_a_failure_says_it_as_well(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.clock, node.failure = OFF, Unreachable(cause=Cause.NO_CONTACTS)
    assert status_of("dht", "lookup", str(LINK)) == exits.NETWORK
    assert SAID in capsys.readouterr().err


def test_nothing_is_said_of_a_clock_that_is_right(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("ls") == exits.OK
    assert "clock" not in capsys.readouterr().err
