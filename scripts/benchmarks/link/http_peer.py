"""One end of an HTTP transfer by aiohttp, as peer.py is of a data channel.

The server serves bytes without end; the client, told the port, reads them and throws them away.
"""

import asyncio
import json
import os
import sys
import time

from aiohttp import ClientSession, ClientTimeout, web

from scripts.benchmarks.link.peer import Counted, read_lines, say

_CHUNK_BYTES = 2**18
_SIZE_BYTES = 10**13
_SHUTDOWN_S = 0.1


async def serve(address: str) -> tuple[web.AppRunner, int]:
    """Serve on a free port."""
    chunk = os.urandom(_CHUNK_BYTES)

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(_SIZE_BYTES)})
        await response.prepare(request)
        while True:
            await response.write(chunk)

    app = web.Application()
    app.router.add_get("/", stream)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    site = web.TCPSite(runner, address, 0)
    await site.start()
    port: int = runner.addresses[0][1]
    return runner, port


async def fetch(url: str, counted: Counted) -> None:
    """Read what the server sends."""
    async with ClientSession(timeout=ClientTimeout(total=None)) as session, session.get(url) as got:
        async for data in got.content.iter_any():
            counted.take(data)


async def main(*, sends: bool, address: str) -> None:
    """Serve or fetch until the input ends."""
    lines = await read_lines()
    counted = Counted()
    runner, fetching = None, None
    if sends:
        runner, port = await serve(address)
        say(f"http://{address}:{port}/")
        await lines.readline()
    else:
        url = json.loads(await lines.readline())
        say(None)
        fetching = asyncio.ensure_future(fetch(url, counted))
    say("open")
    while await lines.readline():
        say([time.perf_counter(), time.process_time(), counted.received_bytes])
    if fetching is not None:
        fetching.cancel()
    if runner is not None:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
