"""One end of many data channels in a process of its own; see `peer`.

The sender has one port for all of them, the receiver one at each of its addresses.
"""

import asyncio
import json
import sys

from node.environment import Environment
from scripts.benchmarks.link.peer import (
    Counted,
    Options,
    connect,
    connect_by,
    feed,
    open_paths,
    read_lines,
    say,
    tell_marks,
)


async def main(addresses: list[str], *, sends: bool) -> None:
    """Connect one channel after another, then send or receive on all until the input ends."""
    lines, counted = await read_lines(), Counted()
    paths = await open_paths(Environment(), addresses[0], "native") if sends else None

    async def ask(own: str) -> str:
        say(own)
        theirs: str = json.loads(await lines.readline())
        return theirs

    channels = []
    for address in addresses:
        options = Options("native", sends, address)
        channel = await (connect_by(paths, options, ask) if paths else connect(options, ask))
        channel.receiver = counted.take
        await channel.open()
        channels.append(channel)
    say("open")
    feeding = [asyncio.ensure_future(feed(one, options.message_bytes)) for one in channels if sends]
    await tell_marks(lines, counted)
    for one in feeding:
        one.cancel()
    await asyncio.gather(*(channel.close() for channel in channels))


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
