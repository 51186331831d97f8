"""The nodes that are called, in a process of their own: it says a port and their public keys.

Over a stream to the port come lines [number, key, sealed offer], and go [number, sealed answer].
"""

import asyncio
import json
import sys

from node.tasks import TaskOwner
from scripts.benchmarks.link.peer import read_lines, say
from scripts.benchmarks.many_links.ends import Callees


async def _main(nodes: int) -> None:
    lines, callees, tasks = await read_lines(), Callees(), TaskOwner("answers")
    keys = await callees.open(nodes)

    async def answer(writer: asyncio.StreamWriter, number: int, key: str, sealed: str) -> None:
        answered = await callees.answer(bytes.fromhex(key), bytes.fromhex(sealed))
        writer.write(json.dumps([number, answered.hex()]).encode() + b"\n")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            tasks.start(answer(writer, *json.loads(line)), name="answer")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    say([server.sockets[0].getsockname()[1], [key.hex() for key in keys]])
    while await lines.readline():
        pass
    server.close()
    await tasks.close()
    await callees.close()


if __name__ == "__main__":
    asyncio.run(_main(**json.loads(sys.argv[1])))
