"""A node serves complete mods over HTTP: sealed, in ranges, within the limits, and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from node.content.web.server import WebServer
from protocol import limits
from protocol.content.origins.urls import file_names
from protocol.errors import NoSources
from tests.node.content.content_nodes import until
from tests.node.content.origins.origin_worlds import OriginWorld, closing, origin_world
from tests.node.content.origins.web_server import Request, web_server

pytestmark = pytest.mark.real_loop


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[OriginWorld, WebServer, str]]:
    async with origin_world(folder) as world:
        server = WebServer(world.holder.vault, world.holder.exchanges.line)
        await server.start("127.0.0.1", 0)
        try:
            yield world, server, f"http://127.0.0.1:{server.port}"
        finally:
            await server.close()
            assert server.defects == []


async def asked(url: str, head: str = "") -> tuple[int, bytes, Mapping[str, str]]:
    fields = dict(line.split(": ") for line in head.splitlines())
    async with aiohttp.ClientSession() as session, session.get(url, headers=fields) as got:
        return got.status, await got.read(), got.headers


async def raw(server: WebServer, data: bytes) -> bytes:
    """What comes of these bytes until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def test_both_files_are_served_whole_and_in_ranges(tmp_path: Path) -> None:
    async with serving(tmp_path) as (world, _, url):
        for name, data in world.files.items():
            status, body, fields = await asked(f"{url}/{name}")
            assert (status, body) == (200, data)
            assert fields["Access-Control-Allow-Origin"] == "*"
            assert "Set-Cookie" not in fields
            for first, last in ((0, 0), (1, 100), (len(data) // 2, len(data) - 1)):
                status, body, fields = await asked(f"{url}/{name}", f"Range: bytes={first}-{last}")
                assert (status, body) == (206, data[first : last + 1])
                assert fields["Content-Range"] == f"bytes {first}-{last}/{len(data)}"
            status, body, _ = await asked(f"{url}/{name}", f"Range: bytes={len(data)}-")
            assert (status, body) == (416, b"")
            status, body, _ = await asked(f"{url}/{name}", f"If-None-Match: {fields['ETag']}")
            assert (status, body) == (304, b"")


async def test_a_node_is_an_origin_of_another_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as (world, _, url), closing(world.origins(url)) as origins:
        done = await world.get(origins)
        assert set(done.bytes_from) == {url}


async def test_a_head_brings_no_body_and_the_next_request_is_served(tmp_path: Path) -> None:
    async with serving(tmp_path) as (world, server, _):
        manifest, chunks = file_names(world.shared.mod_id)
        told = await raw(
            server,
            f"HEAD /{chunks} HTTP/1.1\r\nHost: a\r\n\r\nOPTIONS /{chunks} HTTP/1.1\r\nHost: a\r\n"
            f"\r\nGET /{manifest} HTTP/1.0\r\n\r\n".encode(),
        )
        first, preflight, last, body = told.split(b"\r\n\r\n", 3)
        assert f"Content-Length: {len(world.files[chunks])}".encode() in first
        assert b"204 No Content" in preflight
        assert b"Connection: close" in last
        assert body == world.files[manifest]


async def test_a_client_that_sends_no_more_has_its_answers(tmp_path: Path) -> None:
    async with serving(tmp_path) as (world, server, _):
        name = file_names(world.shared.mod_id)[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 2 + b"GET /half")
        writer.write_eof()
        told = await asyncio.wait_for(reader.read(), 10)
        assert told.count(b"HTTP/1.1 200 OK") == told.count(world.files[name]) == 2
        writer.close()


async def test_the_address_is_told_at_which_it_is_served(tmp_path: Path) -> None:
    async with serving(tmp_path) as (world, server, url):
        assert server.url == url
        assert WebServer(world.holder.vault, world.holder.exchanges.line).url is None


@pytest.mark.parametrize(
    "path", ["/", "/index.html", f"/{'a' * 52}.chunks", "/../vault/index.sqlite", "//"]
)
async def test_nothing_else_is_served(path: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, server, _):
        told = await raw(server, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert told.startswith(b"HTTP/1.1 404 ")
        assert told.endswith(b"\r\n\r\n")


async def test_a_mod_that_is_here_in_part_is_not_served(tmp_path: Path) -> None:
    async def soon_over(request: Request) -> None:
        await (request.send("403 Forbidden") if request.number > 3 else request.send_well())

    async with (
        origin_world(tmp_path) as world,
        web_server(world.files, soon_over) as web,
        closing(world.origins(web.url)) as origins,
    ):
        with pytest.raises(NoSources):
            await world.get(origins)
        server = WebServer(world.getter.vault, world.getter.exchanges.line)
        await server.start("127.0.0.1", 0)
        assert 0 < len(await world.getter.vault.missing(world.shared.mod_id)) < world.shared.chunks
        for name in world.files:
            status, _, _ = await asked(f"http://127.0.0.1:{server.port}/{name}")
            assert status == 404
        await server.close()


@pytest.mark.parametrize(
    "data",
    [
        *(b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n", b"a" * 20_000, b"\r\n\r\n"),
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
    ],
)
async def test_what_is_no_request_ends_its_connection_alone(data: bytes, tmp_path: Path) -> None:
    async with serving(tmp_path) as (world, server, url):
        assert (await raw(server, data)).startswith(b"HTTP/1.1 4")
        name = file_names(world.shared.mod_id)[0]
        assert (await asked(f"{url}/{name}"))[0] == 200


async def test_clients_that_send_heads_slowly_keep_none_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as (world, server, url):
        slow = []
        for _ in range(limits.HTTP_CLIENTS_PER_NETWORK):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nX: ")
            slow.append(writer)
        name = file_names(world.shared.mod_id)[0]
        assert (await asked(f"{url}/{name}"))[0] == 200
        for writer in slow:
            writer.close()
        monkeypatch.setattr(limits, "HTTP_HEAD_S", 0.05)
        assert await raw(server, b"GET / HTTP/1.1\r\nX: ") == b"", "it was waited for"


async def test_a_client_that_takes_nothing_is_ended_and_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_TAKE_S", 0.2)
    async with serving(tmp_path) as (world, server, url):
        name = file_names(world.shared.mod_id)[1]
        writers = []
        for _ in range(4):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            writer.write(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 20)
            writers.append((reader, writer))
        assert (await asked(f"{url}/{name}"))[1] == world.files[name]
        for reader, writer in writers:
            with contextlib.suppress(OSError):
                while await asyncio.wait_for(reader.read(2**20), 5):
                    pass
            writer.close()


async def test_more_requests_than_a_network_may_make_are_refused_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONTENT_REQUESTS_BURST", 3)
    monkeypatch.setattr(limits, "CONTENT_REQUESTS_PER_SECOND", 1e-6)
    async with serving(tmp_path) as (_, _, url):
        found = [await asked(f"{url}/{'a' * 52}.chunks") for _ in range(5)]
        assert [status for status, _, _ in found] == [404, 404, 404, 429, 429]
        assert found[-1][2]["Retry-After"]


async def test_the_upload_limits_hold_for_http_clients(tmp_path: Path) -> None:
    async with serving(tmp_path) as (world, _, url):
        name = file_names(world.shared.mod_id)[1]
        world.holder.up.command("10k", None)
        getting = asyncio.ensure_future(asked(f"{url}/{name}"))
        rate, now = world.holder.up.rate, asyncio.get_running_loop().time
        await until(lambda: rate.wait_s(now()) > 1)
        assert not getting.done(), "the limit did not hold"
        world.holder.up.command("off", None)
        assert (await getting)[1] == world.files[name]
