"""The node that calls, in a process of its own; the others are in that of answering.py.

It is told the port of their answers and their public keys. To each line [first, last, at once] it
opens the links to these of them, at once or a few at a time; it says the seconds that this took and
its own seconds of CPU and bytes resident. The line "mark" asks for these alone, "close" closes all
links.
"""

import asyncio
import json
import time
from itertools import count

import psutil

from scripts.benchmarks.link.peer import read_lines, say
from scripts.benchmarks.many_links.ends import Caller


class _Line:
    """Carries sealed offers over one stream, and brings the answers back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = count()
        self._awaited: dict[int, asyncio.Future[bytes]] = {}

    async def carry(self, key: bytes, sealed: bytes) -> bytes:
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._awaited[number] = answer
        text = json.dumps([number, key.hex(), sealed.hex()])
        self._writer.write(text.encode() + b"\n")
        return await answer

    async def read(self) -> None:
        while line := await self._reader.readline():
            number, answer = json.loads(line)
            self._awaited.pop(number).set_result(bytes.fromhex(answer))


def _say_mark(took_s: float = 0.0) -> None:
    say([time.perf_counter(), time.process_time(), psutil.Process().memory_info().rss, took_s])


async def _main() -> None:
    lines = await read_lines()
    port, texts = json.loads(await lines.readline())
    keys = [bytes.fromhex(text) for text in texts]
    line = _Line(*await asyncio.open_connection("127.0.0.1", port))
    reading = asyncio.ensure_future(line.read())
    caller = Caller()
    await caller.open(line.carry)
    while text := await lines.readline():
        match json.loads(text):
            case [first, last, True]:
                _say_mark(await caller.link_at_once(keys[first:last]))
            case [first, last, False]:
                await caller.link_all(keys[first:last])
                _say_mark()
            case "close":
                await caller.close_links()
                _say_mark()
            case int(links):
                caller.check_open(links)
                _say_mark()
    await caller.close()
    reading.cancel()


if __name__ == "__main__":
    asyncio.run(_main())
