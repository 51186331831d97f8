"""One end of a link that is idle but for a frame now and then, in a process of its own; see `peer`.

One end sends each message back. The other answers each line of its input by the seconds that one
message took there and back.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

from scripts.benchmarks.link.peer import Options, connect, read_lines, say

MESSAGE_BYTES = 100


async def main(options: Options) -> None:
    """Connect, then send there and back until the input ends."""
    lines = await read_lines()
    message, came = os.urandom(MESSAGE_BYTES), asyncio.Event()

    async def ask(own: Any) -> Any:
        say(own)
        return json.loads(await lines.readline())

    channel = await connect(options, ask)
    channel.receiver = (lambda _: came.set()) if options.sends else channel.send
    await channel.open()
    say("open")
    while await lines.readline():
        came.clear()
        began = time.perf_counter()
        channel.send(message)
        await came.wait()
        say(time.perf_counter() - began)
    await channel.close()


if __name__ == "__main__":
    asyncio.run(main(Options(**json.loads(sys.argv[1]))))
