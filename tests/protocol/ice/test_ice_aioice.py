"""aioice as the foreign peer, in both roles, over real sockets on loopback."""

import asyncio
import random
from typing import cast

import aioice
import pytest

from protocol.addresses import Address
from protocol.errors import RemoteError
from protocol.ice.agent import IceAgent
from protocol.ice.candidates import CandidateKind, IceCredentials, priority
from protocol.ice.events import AddressProved, IceEvent, PairSelected
from protocol.ice.settings import IceSettings
from protocol.ice.unproved import NetworkAllowance

pytestmark = pytest.mark.real_loop

OWN = IceCredentials("ownufrag", "o" * 24)


class OverSocket(asyncio.DatagramProtocol):
    """Our agent on one UDP socket, with the loop's clock."""

    def __init__(self, *, controlling: bool, settings: IceSettings) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.agent = IceAgent(
            controlling=controlling,
            credentials=OWN,
            transaction_prefix=b"test",
            rng=random.Random(1),
            settings=settings,
            allowance=NetworkAllowance(),
        )
        self.base = Address("127.0.0.1", 1)
        self.refused: list[RemoteError] = []
        self.data: asyncio.Queue[bytes] = asyncio.Queue()
        self.events: list[IceEvent] = []
        self._told = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)
        self.base = Address(*transport.get_extra_info("sockname")[:2])
        self.agent.add_local(CandidateKind.HOST, self.base, self.base, self._loop.time())

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data[0] > 3:
            self.data.put_nowait(data)
            return
        try:
            self.agent.receive(data, Address(*addr), self.base, self._loop.time())
        except RemoteError as error:
            self.refused.append(error)
        self.settle()

    def settle(self) -> None:
        datagrams, events = self.agent.take()
        for datagram in datagrams:
            self.transport.sendto(datagram.data, tuple(datagram.remote))
        if events:
            self.events += events
            self._told.set()
        if self._timer is not None:
            self._timer.cancel()
        wake_at = self.agent.wake_at
        self._timer = None if wake_at is None else self._loop.call_at(wake_at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.agent.wake(self._loop.time())
        self.settle()

    async def selected(self) -> PairSelected:
        """The pair that was nominated."""
        while True:
            for event in self.events:
                if isinstance(event, PairSelected) and event.nominated:
                    return event
            self._told.clear()
            await self._told.wait()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.transport.close()


async def opened(*, controlling: bool, settings: IceSettings) -> OverSocket:
    loop = asyncio.get_running_loop()
    made = loop.create_datagram_endpoint(
        lambda: OverSocket(controlling=controlling, settings=settings),
        local_addr=("127.0.0.1", 0),
    )
    return (await made)[1]


async def foreign(*, controlling: bool) -> aioice.Connection:
    connection = aioice.Connection(ice_controlling=controlling)
    await connection.gather_candidates()
    return connection


def start(ours: OverSocket, theirs: aioice.Connection) -> None:
    now = asyncio.get_running_loop().time()
    ours.agent.start(IceCredentials(theirs.local_username, theirs.local_password), now)
    for candidate in theirs.local_candidates:
        address = Address(candidate.host, candidate.port)
        ours.agent.add_remote(CandidateKind.HOST, address, now, priority=candidate.priority)
    ours.agent.end_of_candidates()
    ours.settle()


async def tell(ours: OverSocket, theirs: aioice.Connection, *, candidates: bool = True) -> None:
    theirs.remote_username, theirs.remote_password = OWN
    if candidates:
        await theirs.add_remote_candidate(
            aioice.Candidate(
                foundation="1",
                component=1,
                transport="udp",
                priority=priority(CandidateKind.HOST, 0),
                host=ours.base.host,
                port=ours.base.port,
                type="host",
            )
        )


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Aioice leaves 127.0.0.1 out."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


async def carry(ours: OverSocket, theirs: aioice.Connection, found: PairSelected) -> None:
    ours.transport.sendto(b"\x17 ours", tuple(found.remote))
    assert await theirs.recv() == b"\x17 ours"
    await theirs.send(b"\x17 theirs")
    assert await ours.data.get() == b"\x17 theirs"


@pytest.mark.parametrize("controlling", [True, False])
@pytest.mark.parametrize("aioice_knows_us", [True, False])
async def test_it_links_with_aioice_in_both_roles(controlling: bool, aioice_knows_us: bool) -> None:
    """Where aioice was told no candidate of ours, it learns a peer-reflexive one."""
    ours = await opened(controlling=controlling, settings=IceSettings())
    theirs = await foreign(controlling=not controlling)
    await tell(ours, theirs, candidates=aioice_knows_us)
    start(ours, theirs)
    async with asyncio.timeout(10):
        _, found = await asyncio.gather(theirs.connect(), ours.selected())
        await carry(ours, theirs, found)
    assert found.remote == Address("127.0.0.1", theirs.local_candidates[0].port)
    assert AddressProved(found.remote, ours.base) in ours.events
    await theirs.close()
    ours.close()


@pytest.mark.parametrize("controlling", [True, False])
async def test_a_conflict_of_roles_with_aioice_is_settled(controlling: bool) -> None:
    ours = await opened(controlling=controlling, settings=IceSettings())
    theirs = await foreign(controlling=controlling)
    await tell(ours, theirs)
    start(ours, theirs)
    async with asyncio.timeout(10):
        _, found = await asyncio.gather(theirs.connect(), ours.selected())
        await carry(ours, theirs, found)
    assert ours.agent.controlling != theirs.ice_controlling
    await theirs.close()
    ours.close()


async def test_aioice_answers_our_consent_checks() -> None:
    ours = await opened(controlling=True, settings=IceSettings())
    theirs = await foreign(controlling=False)
    await tell(ours, theirs)
    start(ours, theirs)
    async with asyncio.timeout(10):
        await asyncio.gather(theirs.connect(), ours.selected())
        while (row := ours.agent.report()[0]).checks < 4 or row.round_trip_s is None:
            ours.agent.check_now(asyncio.get_running_loop().time())
            ours.settle()
            await asyncio.sleep(0)
    assert row.selected
    assert ours.refused == []
    await theirs.close()
    ours.close()
