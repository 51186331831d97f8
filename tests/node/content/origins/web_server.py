"""An HTTP server for two files that does what is right, or what a server should not."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

RANGE = re.compile(r"range: bytes=(\d+)-(\d+)", re.IGNORECASE)


@dataclass
class Request:
    """The head of a request, the file that it is for, and the way back."""

    path: str
    head: str
    data: bytes | None
    writer: asyncio.StreamWriter
    number: int

    @property
    def wanted(self) -> tuple[int, int] | None:
        found = RANGE.search(self.head)
        return None if found is None else (int(found[1]), int(found[2]))

    @property
    def size(self) -> int:
        assert self.wanted is not None
        return self.wanted[1] - self.wanted[0] + 1

    async def send(
        self, status: str, body: bytes = b"", *fields: str, length: int | None = None
    ) -> None:
        size = len(body) if length is None else length
        lines = (f"HTTP/1.1 {status}", f"Content-Length: {size}", *fields)
        self.writer.write("\r\n".join((*lines, "", "")).encode() + body)
        await self.writer.drain()

    async def send_well(self, *fields: str) -> None:
        if self.data is None:
            await self.send("404 Not Found")
        elif self.wanted is None:
            await self.send("200 OK", self.data, "Accept-Ranges: bytes", *fields)
        elif self.wanted[0] >= len(self.data):
            await self.send("416 Range Not Satisfiable")
        else:
            first, last = self.wanted[0], min(self.wanted[1], len(self.data) - 1)
            where = f"Content-Range: bytes {first}-{last}/{len(self.data)}"
            await self.send("206 Partial Content", self.data[first : last + 1], where, *fields)


Manner = Callable[[Request], Awaitable[None]]
"""Answers a request; the connection goes on afterwards unless the writer was closed."""


async def well(request: Request) -> None:
    await request.send_well()


@dataclass
class WebServer:
    """A running server; `url` is a base. `manner` may be changed at any time."""

    files: dict[str, bytes]
    manner: Manner = well
    port: int = 0
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def chunk_requests(self) -> list[Request]:
        return [one for one in self.requests if one.path.endswith(".chunks")]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                path = head.split(" ")[1]
                data = self.files.get(path.rpartition("/")[2])
                request = Request(path, head, data, writer, len(self.requests))
                self.requests.append(request)
                await self.manner(request)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def web_server(
    files: dict[str, bytes], manner: Manner = well, **options: object
) -> AsyncIterator[WebServer]:
    made = WebServer(files, manner)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, **options)  # type: ignore[arg-type]
    made.port = server.sockets[0].getsockname()[1]
    made.scheme = "https" if "ssl" in options else "http"
    try:
        yield made
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def exported(folder: Path) -> dict[str, bytes]:
    """The files of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
