"""A relayed link becomes direct by restarts that are asked for on the link, in a transfer."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from node.links.link import Link
from node.links.pool.changes import LinkEvent
from node.links.restarting.frame_calls import FrameCalls
from node.overlay.signaling.caller import Caller
from simulations.internet import Host
from simulations.internet.carrier import Carrier
from simulations.internet.lines import Access
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import Town, pair_world, until

HEAD = bytes((0x92, 64)) + b"\xc5\x03\xe8"
"""A list of two, a type that the product does not use and a binary of 1000 bytes (MessagePack)."""

EVERY_S = 0.005
STALL_S = 0.1
SLOW_START_S = 2.0
HOME = "port-restricted"


class Blockade:
    """Nothing passes between two machines while it stands, but by others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.between: frozenset[Host] = frozenset()
        deliver = Carrier._deliver

        def through(carrier: Carrier, packet: Any, socket: Any) -> None:
            if frozenset((packet.sender.host, socket.host)) != self.between:
                deliver(carrier, packet, socket)

        monkeypatch.setattr(Carrier, "_deliver", through)


class Transfer:
    """Numbered frames one way; `stall_s` is the longest time between two that arrive."""

    def __init__(self, link: Link, theirs: Link) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._at: float | None = None
        self.stall_s = 0.0
        self.arrived: list[int] = []
        theirs.register(range(64, 65), self._receive)

    def _receive(self, frame: bytes) -> None:
        now = self._loop.time()
        if self._at is not None:
            self.stall_s = max(self.stall_s, now - self._at)
        self._at = now
        self.arrived.append(int.from_bytes(frame[len(HEAD) :][:4], "big"))

    async def run(self, seconds: float) -> None:
        """Every byte arrives once and in order."""
        count = round(seconds / EVERY_S)
        for number in range(count):
            self._link.send(HEAD + number.to_bytes(4, "big") + bytes(996))
            await asyncio.sleep(EVERY_S)
        await until(lambda: len(self.arrived) >= count)
        assert self.arrived == list(range(count))


@pytest.fixture
def blockade(monkeypatch: pytest.MonkeyPatch) -> Blockade:
    return Blockade(monkeypatch)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When calls were made by registrars."""
    made: list[float] = []
    call = Caller.call

    async def counted(self: Caller, *args: Any) -> Any:
        made.append(asyncio.get_running_loop().time())
        return await call(self, *args)

    monkeypatch.setattr(Caller, "call", counted)
    return made


async def relayed(town: Town, blockade: Blockade) -> tuple[list[WholeResident], list[Link]]:
    """A link that would be direct, if the way were not blocked."""
    people = await town.settled(HOME, HOME)
    blockade.between = frozenset(person.host for person in people)
    links = await town.linked(*people)
    assert links[0].path.way == "relayed"
    return list(people), list(links)


@pytest.mark.parametrize("sender", [0, 1])
async def test_a_transfer_comes_to_the_direct_path_without_a_stall_and_without_a_call(
    tmp_path: Path, blockade: Blockade, calls: list[float], sender: int
) -> None:
    async with pair_world(tmp_path) as town:
        people, links = await relayed(town, blockade)
        calls.clear()
        transfer = Transfer(links[sender], links[1 - sender])
        running = asyncio.ensure_future(transfer.run(20.0))
        await asyncio.sleep(SLOW_START_S)
        transfer.stall_s = 0.0
        blockade.between = frozenset()
        await running
        assert [link.path.way for link in links] == ["direct", "direct"]
        assert transfer.stall_s <= STALL_S
        for person, other in (people, people[::-1]):
            changes = person.running_node.pool.changes.since(0)
            of_link = [one for one in changes if one.peer_id == other.identity.peer_id]
            assert of_link[0].event is LinkEvent.UP
            assert {one.event for one in of_link[1:]} == {LinkEvent.PATH}
            assert [one.path.way for one in of_link][:: len(of_link) - 1] == ["relayed", "direct"]
            assert all(one.path != after.path for one, after in pairwise(of_link))
        assert not calls
        assert not any(person.defects for person in people)


async def test_where_frames_are_not_answered_the_same_offer_goes_by_registrars(
    tmp_path: Path, blockade: Blockade, calls: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair_world(tmp_path) as town:
        _, links = await relayed(town, blockade)
        await asyncio.sleep(3.0)
        blockade.between = frozenset()
        calls.clear()
        offers: list[object] = []

        async def ignored(_self: FrameCalls, offer: object) -> None:
            offers.append(offer)

        monkeypatch.setattr(FrameCalls, "_answer_to", ignored)
        await until(lambda: links[0].path.way == "direct")
        assert (len(offers), len(calls)) == (1, 1)


@pytest.mark.parametrize("mover", [0, 1])
async def test_a_change_of_either_network_begins_the_search_anew(
    tmp_path: Path, blockade: Blockade, calls: list[float], mover: int
) -> None:
    """The pauses have grown by then; the callee looks but then."""
    async with pair_world(tmp_path) as town:
        people, links = await relayed(town, blockade)
        await asyncio.sleep(70.0)
        blockade.between = frozenset()
        await asyncio.sleep(1.0)
        assert links[0].path.way == "relayed"
        calls.clear()
        with people[mover].host.running():
            people[mover].running_node.pool.doubt_links()
        assert await until(lambda: links[0].path.way == "direct") <= 2.0
        assert not calls


@pytest.mark.parametrize(
    ("bytes_s", "most_s"), [(50_000.0, 2.5), (200_000.0, 1.0), (800_000.0, 0.5)]
)
async def test_what_is_said_beside_a_transfer_does_not_wait_for_seconds_of_it(
    tmp_path: Path, bytes_s: float, most_s: float
) -> None:
    """As an offer of a restart: 256 kB of the transfer were before it, 7 s on the slowest line."""
    async with pair_world(tmp_path) as town:
        people = await town.settled("symmetric", "symmetric")
        for person in people:
            town.world.internet.set_access(person.host, Access(bytes_s, bytes_s))
        link, theirs = await town.linked(*people)
        waiting: asyncio.Queue[None] = asyncio.Queue()
        theirs.register(range(64, 65), lambda _: None)
        theirs.register(range(65, 66), lambda _: waiting.put_nowait(None))

        async def transfer() -> None:
            while True:
                link.send(HEAD[:3] + (60_000).to_bytes(2) + bytes(60_000))
                await link.drained()

        running = asyncio.ensure_future(transfer())
        await asyncio.sleep(12.0)
        for _ in range(4):
            await asyncio.sleep(1.37)
            link.send(bytes((0x92, 65, 0)))
            async with asyncio.timeout(most_s):
                await waiting.get()
        running.cancel()
