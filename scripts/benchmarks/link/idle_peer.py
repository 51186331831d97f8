"""One end of many idle links in a process of its own, as peer.py is of one busy channel.

All links of the side that sends are on one port, as those of a node are; the other side plays as
many nodes, with a port for each.
"""

import asyncio
import json
import sys
import time

from node.environment import Environment
from node.links.path.ice import IcePath
from node.links.secure.certificate import create
from node.links.secure.dtls import DtlsPath
from protocol.description import Description, DtlsRole
from scripts.benchmarks.link.peer import finish, open_paths, read_lines, say


async def main(*, sends: bool, links: int) -> None:
    """Open so many links, then do nothing until the input ends."""
    environment = Environment()
    lines = await read_lines()
    certificate = create(environment)
    role = DtlsRole.PASSIVE if sends else DtlsRole.ACTIVE
    shared = await open_paths(environment, "127.0.0.1", "native")
    paths = []
    for number in range(links):
        ports = shared if sends else await open_paths(environment, "127.0.0.1", "native")
        paths.append(IcePath(ports, number.to_bytes(20), controlling=sends))
    own = [path.describe(certificate.fingerprint, role, takes_bursts=True) for path in paths]
    say([description.encode().hex() for description in own])
    peers = json.loads(await lines.readline())
    channels = []
    for path, text in zip(paths, peers, strict=True):
        peer = Description.decode(bytes.fromhex(text))
        channels.append(await finish(path, DtlsPath(path, certificate), role, peer, "native"))
        await channels[-1].open()
    say("open")
    while await lines.readline():
        say([time.perf_counter(), time.process_time(), 0])
    for channel in channels:
        await channel.close()


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
