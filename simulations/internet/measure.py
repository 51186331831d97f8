"""The simulator's own cost: `python -m simulations.internet.measure` prints it as JSON.

A thousand hosts play ping-pong with packets that no protocol reads, so all the time is the loop's
and the internet's. `--nat` puts every host behind a box of its own.
"""

import argparse
import asyncio
import json
import time
import tracemalloc
from typing import Any, Final

from simulations.internet import Internet, NatBehaviour, SyntheticLatency
from simulations.internet.addresses import HostPort
from simulations.internet.boxes.behaviour import Dependence
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng

PORT: Final = 4001
BALLS_PER_HOST: Final = 4
DATAGRAM: Final = b"\xd0" + bytes(199)


class Player(asyncio.DatagramProtocol):
    """Returns every ball to where it came from, until the game is over."""

    def __init__(self, game: "Game") -> None:
        self._game = game
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport to return balls with."""
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Return the ball."""
        if self._game.returns_left:
            self._game.returns_left -= 1
            assert self.transport is not None
            self.transport.sendto(data, addr)
        elif not self._game.over.done():
            self._game.over.set_result(None)


class Game:
    """How many balls may still be returned, among all players; `over` is done when none may."""

    def __init__(self, returns: int) -> None:
        self.returns_left = returns
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()


async def play(internet: Internet, hosts: int, packets: int, *, nat: bool) -> dict[str, object]:
    """Let `hosts` hosts return balls until `packets` were returned; the figures."""
    loop = asyncio.get_running_loop()
    game = Game(packets)
    rng = derive_rng(internet.seed, "serves")
    behaviour = NatBehaviour(filtering=Dependence.ENDPOINT_INDEPENDENT)
    tracemalloc.start()
    players: list[asyncio.DatagramTransport] = []
    addresses: list[HostPort] = []
    for _ in range(hosts):
        box = internet.add_nat(behaviour) if nat else None
        host = internet.add_host(behind=box)
        with host.running():
            transport, _ = await loop.create_datagram_endpoint(
                lambda: Player(game), local_addr=(host.addresses[0], PORT)
            )
        players.append(transport)
        addresses.append((box.address() if box else host.addresses[0], PORT))
        transport.sendto(DATAGRAM, ("192.0.2.1", PORT))  # opens the box's mapping
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    started, cpu_started, virtual_started = time.perf_counter(), time.process_time(), loop.time()
    for transport in players:
        for _ in range(BALLS_PER_HOST):
            transport.sendto(DATAGRAM, rng.choice(addresses))
    await game.over
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    return {
        "hosts": hosts,
        "nat": nat,
        "delivered": internet.carrier.delivered,
        "packets_per_s": round(internet.carrier.delivered / wall_s),
        "cpu_us_per_packet": round(1e6 * cpu_s / internet.carrier.delivered, 2),
        "virtual_s_per_s": round((loop.time() - virtual_started) / wall_s, 2),
        "KiB_per_host": round(held_bytes / 1024 / hosts, 2),
        "log_hash": internet.log.digest(),
    }


def main() -> None:
    """Read the arguments, play, print."""
    parser = argparse.ArgumentParser(description="measure the simulated internet's own cost")
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--packets", type=int, default=500_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nat", action="store_true", help="put every host behind a box")
    options = parser.parse_args()
    loop = VirtualLoop()
    internet = Internet(loop, options.seed, SyntheticLatency(options.seed))
    game = play(internet, options.hosts, options.packets, nat=options.nat)
    print(json.dumps(run_virtually(game, loop)))


if __name__ == "__main__":
    main()
