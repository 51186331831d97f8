"""`python -m simulations.flooding.nodes COUNT HOST`: real overlay nodes in one process.

Each listens on an address of its own, from HOST upwards, and joins through the contacts of the
first input line, or those before it. Then each line with a number of seconds makes the first node
look random ids up for so long, and say how that went.
"""

import asyncio
import ipaddress
import json
import secrets
import sys
from typing import Any

from node.counters import Counters
from node.environment import Environment
from node.overlay.membership import Membership
from node.overlay.settings import OverlaySettings
from protocol.addresses import Address
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from simulations.harness import extras
from simulations.harness.statistics import quantile

_MB = 1e6


async def main(count: int, host: str) -> None:
    """Run nodes until the input ends."""
    lines = await _standard_input()
    known = [Contact(bytes.fromhex(packed)) for packed in json.loads(await lines.readline())]
    nodes: list[Membership] = []
    for number in range(count):
        node = await _start(str(ipaddress.ip_address(host) + number), known)
        nodes.append(node)
        (address,) = node.endpoint.addresses.values()
        known.append(Contact.at(node.server.identity.public_key, address))
    tell([contact.packed.hex() for contact in known[-count:]])
    while line := await lines.readline():
        tell(await _look_up(nodes[0], float(line)))
    for node in nodes:
        await node.stop()


async def _start(host: str, known: list[Contact]) -> Membership:
    node = Membership(
        # No puzzle: a flooder can solve as many as it needs beforehand.
        Identity(secrets.token_bytes(32)),
        Environment(),
        settings=OverlaySettings(puzzle_bits=0),
        counters=Counters(),
        bootstraps=[],
        saved=list(known),
        say=lambda _: None,
    )
    await node.endpoint.open(Address(host, 0))
    node.start()
    if known:
        await node.joined.wait()
    return node


async def _look_up(node: Membership, seconds: float) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    counters, process = node.server.counters, extras.require("psutil").Process()
    received, cpu_s, started = (
        counters.datagrams_received,
        sum(process.cpu_times()[:2]),
        loop.time(),
    )
    took: list[float] = []
    found = 0
    while loop.time() < started + seconds:
        asked_at = loop.time()
        lookup = await node.server.lookup(secrets.token_bytes(20))
        took.append(loop.time() - asked_at)
        found += bool(lookup.closest())
    passed_s = loop.time() - started
    return {
        "lookups": len(took),
        "answered": round(found / len(took), 4),
        "p50_s": round(quantile(took, 0.5), 5),
        "p99_s": round(quantile(took, 0.99), 5),
        "handled_per_s": round((counters.datagrams_received - received) / passed_s),
        "core_percent": round(100 * (sum(process.cpu_times()[:2]) - cpu_s) / passed_s, 1),
        "rss_MB": round(process.memory_info().rss / _MB, 1),
        "sessions": node.server.wire.session_count,
        "refused": dict(counters.refused),
    }


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def tell(what: object) -> None:
    """One line of JSON to the process that started this one."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
