"""Paths that answer ICE's checks and drop data, in mid-transfer, whole nodes in virtual time."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.links.link import Link
from node.links.punching.call import PunchCall
from node.links.punching.run import PunchRun
from node.links.relaying.doubts import DIRECT
from node.links.restarting.restart import LinkRestart
from protocol.identity import PeerId
from protocol.reachability.network_view import MappingKind
from simulations.internet.carrier import Carrier
from simulations.internet.host import Host
from tests.simulations.pair_world import pair_world, until
from tests.simulations.test_direct_by_frames import Transfer

SOME_S = 6.0
"""After which the links have measured their paths, and keep a second relay."""

TRANSFER_S = 30.0
CHECK_FIRST_BYTE_MAX = 3
"""STUN's, by RFC 7983."""

CHANNEL_DATA = range(0x40, 0x50)


class Dropped:
    """Drops data between the hosts that `is_bad` names, directly or in a relay's frames."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_bad: Callable[[Host, Host], bool] = lambda _sender, _receiver: False
        self.count = 0
        deliver = Carrier._deliver

        def through(carrier: Carrier, packet: Any, socket: Any) -> None:
            if is_data(packet.data) and self.is_bad(packet.sender.host, socket.host):
                self.count += 1
            else:
                deliver(carrier, packet, socket)

        monkeypatch.setattr(Carrier, "_deliver", through)


def is_data(datagram: bytes) -> bool:
    first = datagram[4] if datagram[0] in CHANNEL_DATA else datagram[0]
    return first > CHECK_FIRST_BYTE_MAX


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> Dropped:
    return Dropped(monkeypatch)


async def sent_through(
    links: tuple[Link, Link], sender: int, event: Callable[[], None]
) -> Transfer:
    """A transfer in whose midst this happens."""
    await asyncio.sleep(SOME_S)
    transfer = Transfer(links[sender], links[1 - sender])
    running = asyncio.ensure_future(transfer.run(TRANSFER_S))
    await asyncio.sleep(SOME_S)
    transfer.stall_s = 0.0
    event()
    await running
    return transfer


WAYS = pytest.mark.parametrize("way", ["both", "data", "acknowledgements"])


@WAYS
@pytest.mark.parametrize("sender", [0, 1], ids=["caller sends", "callee sends"])
async def test_a_direct_path_that_drops_data_is_left_once(
    tmp_path: Path, dropped: Dropped, way: str, sender: int
) -> None:
    """It took 4.2 s; and the callee's link went back to the direct path: 9.4 s."""
    async with pair_world(tmp_path) as town:
        people = await town.settled("port-restricted", "port-restricted")
        links = await town.linked(*people)
        assert links[0].path.way == "direct"
        ends = people[sender].host, people[1 - sender].host
        bad = {"both": {ends, ends[::-1]}, "data": {ends}, "acknowledgements": {ends[::-1]}}[way]

        def drop() -> None:
            dropped.is_bad = lambda sender, receiver: (sender, receiver) in bad

        transfer = await sent_through(links, sender, drop)
        assert transfer.stall_s < 2.5
        assert links[0].path.way == links[1].path.way == "relayed"
        for one, other in (people, people[::-1]):
            relays = one.running_node.pool._parts.paths.relays
            assert relays.avoid_direct(other.identity.peer_id), "either side may restart next"
        assert dropped.count


@pytest.mark.parametrize(
    ("way", "sender"), [("both", 0), ("data", 0), ("acknowledgements", 0), ("data", 1)]
)
async def test_a_relay_that_drops_data_is_left_for_the_second_one(
    tmp_path: Path,
    dropped: Dropped,
    caplog: pytest.LogCaptureFixture,
    way: str,
    sender: int,
) -> None:
    """The side that noticed leaves it, without a restart; where that does not nominate, the other
    may stay.
    """
    caplog.set_level("INFO", "node.links.path.doubted")
    async with pair_world(tmp_path) as town:
        people = await town.settled("symmetric", "symmetric")
        links = await town.linked(*people)
        hosts = {one.identity.peer_id: one.host for one in town.publics}
        before: list[PeerId] = []

        def drop() -> None:
            before.extend(relay for path in links[0].paths if (relay := path.ends.relay))
            own, peers = (people[place].host for place in (sender, 1 - sender))
            bad = {"both": {own, peers}, "data": {own}, "acknowledgements": {peers}}[way]
            left = hosts[before[0]]
            dropped.is_bad = lambda sender, receiver: receiver is left and sender in bad

        transfer = await sent_through(links, sender, drop)
        assert transfer.stall_s < 2.0
        moved = links if sender == 0 else links[1:]
        assert {link.path.relay for link in moved} == {before[1]}
        assert "loses data: it is left" in caplog.text
        assert dropped.count


async def test_a_restart_that_avoids_the_direct_path_tells_of_routers_and_opens_none(
    tmp_path: Path, dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the kinds of both a direct path is looked for once it is not avoided any more: without
    that of an open caller its callee's would be one to search ports for, which is not made again.
    """
    calls: list[PunchCall] = []
    punched: list[PunchCall] = []
    connect, begin = LinkRestart._connect, PunchRun.begin

    async def noted(self: LinkRestart, call: PunchCall, *args: Any) -> None:
        calls.append(call)
        await connect(self, call, *args)

    def begun(self: PunchRun, *args: Any) -> None:
        punched.append(self._call)
        begin(self, *args)

    async with pair_world(tmp_path) as town:
        people = await town.settled("port-restricted", "port-restricted")
        links = await town.linked(*people)
        hosts = {one.host for one in people}
        monkeypatch.setattr(LinkRestart, "_connect", noted)
        monkeypatch.setattr(PunchRun, "begin", begun)

        def drop() -> None:
            dropped.is_bad = lambda sender, receiver: {sender, receiver} == hosts

        await sent_through(links, 0, drop)
        assert links[0].path.way == "relayed"
        told = [one for call in calls for one in (call.own, call.peer)]
        assert any(not one.candidates for one in told)
        assert {one.nat.kind.mapping for one in told} == {MappingKind.ENDPOINT_INDEPENDENT}
        assert not any(one.witnesses for one in told if not one.candidates)
        assert not punched


async def test_a_link_that_began_while_the_direct_path_was_avoided_becomes_direct_later(
    tmp_path: Path,
) -> None:
    """Its descriptions named no candidates, as those of a person do who hides an address."""
    async with pair_world(tmp_path) as town:
        people = await town.settled("port-restricted", "port-restricted")
        avoided = [
            (one.running_node.pool._parts.paths.relays, other.identity.peer_id)
            for one, other in (people, people[::-1])
        ]
        for relays, peer_id in avoided:
            relays.doubt_direct(peer_id)
        links = await town.linked(*people)
        await asyncio.sleep(SOME_S)
        assert links[0].path.way == "relayed"
        for relays, peer_id in avoided:
            relays.doubts.forget(DIRECT, peer_id)
        await until(lambda: links[0].path.way == "direct", 20.0)
