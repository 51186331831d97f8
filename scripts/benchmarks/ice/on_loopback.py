"""One connect between two agents over UDP on loopback: ours, and aioice's beside it."""

import asyncio
import random
import time

import aioice

from protocol.addresses import Address
from protocol.ice.agent import IceAgent
from protocol.ice.candidates import CandidateKind, IceCredentials
from protocol.ice.events import PairSelected
from protocol.ice.settings import IceSettings
from protocol.ice.unproved import NetworkAllowance

_ALLOWANCE = NetworkAllowance()


class _Ours(asyncio.DatagramProtocol):
    """Our agent on a socket of its own, with a timer."""

    def __init__(self, number: int, *, controlling: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.credentials = IceCredentials(f"u{number:07}", f"{number:024}")
        self.open: asyncio.Future[None] = self._loop.create_future()
        self.agent = IceAgent(
            controlling=controlling,
            credentials=self.credentials,
            transaction_prefix=number.to_bytes(4),
            rng=random.Random(number),
            settings=IceSettings(),
            allowance=_ALLOWANCE,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.base = Address(*transport.get_extra_info("sockname")[:2])
        self.agent.add_local(CandidateKind.HOST, self.base, self.base, self._loop.time())

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.agent.receive(data, Address(*addr), self.base, self._loop.time())
        self.settle()

    def start(self, other: "_Ours") -> None:
        """Begin, with the other's candidate."""
        now = self._loop.time()
        self.agent.start(other.credentials, now)
        self.agent.add_remote(CandidateKind.HOST, other.base, now)
        self.agent.end_of_candidates()
        self.settle()

    def settle(self) -> None:
        """Send, tell, and set the timer."""
        datagrams, events = self.agent.take()
        for data, _, remote, _ in datagrams:
            self.transport.sendto(data, remote)  # type: ignore[attr-defined]
        for event in events:
            if isinstance(event, PairSelected) and event.nominated and not self.open.done():
                self.open.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        at = self.agent.wake_at
        self._timer = None if at is None else self._loop.call_at(at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.agent.wake(self._loop.time())
        self.settle()

    def close(self) -> None:
        """Close the socket."""
        if self._timer is not None:
            self._timer.cancel()
        self.transport.close()


async def _connect_ours(number: int) -> None:
    loop = asyncio.get_running_loop()
    pair = [
        (
            await loop.create_datagram_endpoint(
                lambda place=place: _Ours(2 * number + place, controlling=not place),  # type: ignore[misc]
                local_addr=("127.0.0.1", 0),
            )
        )[1]
        for place in (0, 1)
    ]
    pair[0].start(pair[1])
    pair[1].start(pair[0])
    await asyncio.gather(*(end.open for end in pair))
    for end in pair:
        end.close()


async def _connect_aioice(_number: int) -> None:
    pair = [aioice.Connection(ice_controlling=controlling) for controlling in (True, False)]
    for end in pair:
        await end.gather_candidates()
    for end, other in zip(pair, reversed(pair), strict=True):
        for candidate in other.local_candidates:
            await end.add_remote_candidate(candidate)
        await end.add_remote_candidate(None)
        end.remote_username, end.remote_password = other.local_username, other.local_password
    await asyncio.gather(*(end.connect() for end in pair))
    for end in pair:
        await end.close()


def measure(connects: int) -> dict[str, float]:
    """Milliseconds of processor time for both ends of one connect."""
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]

    async def run() -> dict[str, float]:
        figures = {}
        for name, connect in (("ours", _connect_ours), ("aioice", _connect_aioice)):
            await connect(connects)  # warm
            before = time.process_time()
            for number in range(connects):
                await connect(number)
            figures[name] = round(1000 * (time.process_time() - before) / connects, 3)
        return figures

    return asyncio.run(run())
