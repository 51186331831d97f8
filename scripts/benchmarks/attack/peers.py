"""A process with real nodes on loopback: `python peers.py '{"bootstrap": [...], "nodes": N}'`.

It says the address of its first node, and then takes lines: ["hold", bytes, chunks] shares a mod,
and takes in a big one of which it has nothing, and says both; ["get", link] says the seconds of a
`get`; ["ls"] those of a list; ["attack", peer id, mod id, big mod id] lets every node ask the peer
for the big one without end; ["rest"] ends that.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from node.config import Config
from node.environment import Environment
from node.overlay.settings import OverlaySettings
from node.runtime import Node
from protocol import limits
from protocol.content import frames
from protocol.errors import ModswarmError
from protocol.texts.links import link_in
from scripts.benchmarks.link.peer import read_lines, say
from simulations.attacks.partial_mod import add_partial_mod

_ROUND = limits.STREAMS_PER_LINK // 2
_PAUSE_S = 0.05


class Peers:
    """The nodes of this process; the first one holds, gets and lists."""

    def __init__(self, folder: Path, nodes: list[Node]) -> None:
        self._folder = folder
        self._nodes = nodes
        self._attacks: list[asyncio.Task[None]] = []
        self._got = 0

    async def hold(self, size: int, chunks: int) -> list[str]:
        """The link of a mod that is there, and the id of one that is not."""
        node, source = self._nodes[0], self._folder / "source"
        source.write_bytes(random.Random(1).randbytes(size))
        big = await add_partial_mod(node.sharing._vault, chunks)
        shared = await node.sharing.share(source)
        return [str(shared.link), big.hex(), node.identity.peer_id.hex()]

    async def get(self, link: str) -> float:
        """Seconds until a mod is on the disk; it is then removed."""
        sharing, mod = self._nodes[0].sharing, link_in(link)
        self._got += 1
        began = time.perf_counter()
        await sharing.get(mod, self._folder / f"got{self._got}")
        seconds = time.perf_counter() - began
        await sharing.remove(mod.mod_id)
        return seconds

    async def ls(self) -> float:
        """Seconds of a list."""
        began = time.perf_counter()
        await self._nodes[0].sharing.mods()
        return time.perf_counter() - began

    async def attack(self, peer_id: str, big: str) -> int:
        """Let every node ask; returns how many do."""
        for node in self._nodes:
            asking = _ask_for_ever(node, bytes.fromhex(peer_id), bytes.fromhex(big))
            self._attacks.append(asyncio.ensure_future(asking))
        return len(self._attacks)

    async def rest(self) -> bool:
        """End every attack."""
        for attack in self._attacks:
            attack.cancel()
        await asyncio.gather(*self._attacks, return_exceptions=True)
        self._attacks.clear()
        return True


async def _ask_for_ever(node: Node, peer_id: bytes, big: bytes) -> None:
    """Open streams as fast as the link takes them, and ask on each for what is not there.

    A link that is lost is opened again.
    """
    wanted = tuple(range(limits.REQUESTS_PER_STREAM))
    number = 10_000
    while True:
        try:
            link = await node.pool.connect(peer_id)
            while True:
                for _ in range(_ROUND):
                    number += 1
                    for frame in (
                        frames.Open(number, big),
                        frames.GetChunks(number, wanted),
                        frames.Close(number - _ROUND),
                    ):
                        link.send(frames.encode_frame(frame))
                await link.drained()
                await asyncio.sleep(_PAUSE_S)
        except ModswarmError:
            await asyncio.sleep(_PAUSE_S)


async def _main(bootstrap: list[str], nodes: int) -> None:
    lines = await read_lines()
    with tempfile.TemporaryDirectory(prefix="modswarm-bench-") as name:
        folder = Path(name)
        started = [await _start(folder / f"node{number}", bootstrap) for number in range(nodes)]
        say(started[0].bootstrap_addresses()[0])
        peers = Peers(folder, started)
        while line := await lines.readline():
            verb, *arguments = json.loads(line)
            answer: Any = await getattr(peers, verb)(*arguments)
            say(answer)
        await peers.rest()
        for node in started:
            await node.stop()


async def _start(home: Path, bootstrap: list[str]) -> Node:
    config = Config(listen=("127.0.0.1:0",), bootstrap=tuple(bootstrap), upnp="off")
    node = Node.open(home, config, Environment(), lambda _: None, OverlaySettings(puzzle_bits=0))
    await node.start()
    if bootstrap:
        await node.joined.wait()
    return node


if __name__ == "__main__":
    asyncio.run(_main(**json.loads(sys.argv[1])))
