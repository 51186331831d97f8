"""Mods from HTTP servers: alone, beside peers, and from servers that do what they should not."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from protocol import limits
from protocol.content.origins.urls import file_names
from protocol.errors import NoSources
from tests.node.content.content_nodes import write_files
from tests.node.content.origins.origin_worlds import closing, finding, origin_world
from tests.node.content.origins.web_server import Manner, Request, web_server

pytestmark = pytest.mark.real_loop


async def test_a_mod_comes_from_a_server_alone_in_few_ranges_over_few_connections(
    tmp_path: Path,
) -> None:
    async with (
        origin_world(tmp_path) as world,
        web_server(world.files) as server,
        closing(world.origins(server.url)) as origins,
    ):
        done = await world.get(origins)
        assert done.bytes_from == {server.url: sum(map(len, world.files.values()))}
        assert len(server.chunk_requests) < world.shared.chunks / 2
        assert server.connections <= limits.ORIGIN_CONNECTIONS
        assert all("cookie" not in one.head.lower() for one in server.requests)


# What servers do that they should not ------------------------------------------------------


async def no_ranges(request: Request) -> None:
    """As Python's http.server: all of the file, whatever was asked for."""
    await request.send("200 OK" if request.data else "404 Not Found", request.data or b"")


async def no_ranges_nor_length(request: Request) -> None:
    request.writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + (request.data or b""))
    await request.writer.drain()
    request.writer.close()


async def no_keep_alive(request: Request) -> None:
    await request.send_well("Connection: close")
    request.writer.close()


async def less_than_asked(request: Request) -> None:
    """A part of the range from its beginning, as a server may (RFC 9110, 15.3.7)."""
    if request.wanted is None or request.data is None:
        await request.send_well()
        return
    first, last = request.wanted
    last = min(last, first + 300_000)
    where = f"Content-Range: bytes {first}-{last}/*"
    await request.send("206 Partial Content", request.data[first : last + 1], where)


async def breaks_off_at_times(request: Request) -> None:
    if request.number % 3 == 2 and request.data is not None and request.wanted:
        first, last = request.wanted
        where = f"Content-Range: bytes {first}-{last}/{len(request.data)}"
        half = request.data[first : (first + last) // 2]
        await request.send("206 Partial Content", half, where, length=last - first + 1)
        request.writer.close()
    else:
        await request.send_well()


async def redirects_within(request: Request) -> None:
    if request.path.startswith("/there"):
        await request.send_well()
    else:
        await request.send("302 Found", b"", f"Location: /there{request.path}")


async def other_case_and_blanks(request: Request) -> None:
    if request.wanted is None or request.data is None:
        await request.send_well()
        return
    first, last = request.wanted
    where = f"content-RANGE:   BYTES {first}-{last}/{len(request.data)}"
    await request.send("206 OK", request.data[first : last + 1], where)


@pytest.mark.parametrize(
    "manner",
    [
        *(no_ranges, no_ranges_nor_length, no_keep_alive, less_than_asked, breaks_off_at_times),
        *(redirects_within, other_case_and_blanks),
    ],
)
async def test_what_is_odd_and_allowed_brings_the_mod(
    manner: Manner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ORIGIN_RETRY_S", 0.01)
    async with (
        origin_world(tmp_path) as world,
        web_server(world.files, manner) as server,
        closing(world.origins(server.url)) as origins,
    ):
        done = await world.get(origins)
        assert done.banned == {}
        if manner is no_ranges:
            assert len(server.chunk_requests) <= 2, "the file was read more than once"


def fields(*lines: str, status: str = "206 Partial Content", offset: int = 0) -> Manner:
    """Answers ranges with these fields in place of what is right; FIRST, LAST and ALL stand for
    numbers.
    """

    async def answer(request: Request) -> None:
        if request.wanted is None or request.data is None:
            await request.send_well()
            return
        first, last = request.wanted
        numbers = {"FIRST": first, "LAST": last, "NEXT": first + 1, "ALL": len(request.data)}
        made = list(lines)
        for word, number in numbers.items():
            made = [line.replace(word, str(number)) for line in made]
        await request.send(status, request.data[first + offset : last + 1 + offset], *made)

    return answer


RIGHT = "Content-Range: bytes FIRST-LAST/ALL"


async def compressed(request: Request) -> None:
    await request.send_well("Content-Encoding: gzip")


async def huge_fields(request: Request) -> None:
    await request.send_well(f"X-Long: {'a' * 100_000}")


async def many_fields(request: Request) -> None:
    await request.send_well(*(f"X-{number}: a" for number in range(10_000)))


async def no_http(request: Request) -> None:
    request.writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" * 10)
    await request.writer.drain()
    request.writer.close()


async def endless_manifest(request: Request) -> None:
    request.writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not request.writer.is_closing():
        request.writer.write(bytes(2**20))
        await request.writer.drain()


async def long_manifest(request: Request) -> None:
    await request.send("200 OK", b"", length=2**40)


async def short_manifest(request: Request) -> None:
    await request.send("200 OK", (request.data or b"")[:10], length=len(request.data or b""))
    request.writer.close()


async def other_manifest(request: Request) -> None:
    if request.wanted:
        await request.send_well()
    else:
        await request.send("200 OK", b"<!DOCTYPE html><title>Welcome</title>")


async def nothing_there(request: Request) -> None:
    await request.send("404 Not Found")


async def no_chunks(request: Request) -> None:
    await (nothing_there(request) if request.wanted else request.send_well())


async def old_chunks(request: Request) -> None:
    """Other bytes of the right length, as those of another mod."""
    if request.data is not None and request.wanted:
        request.data = request.data[::-1]
    await request.send_well()


async def changing(request: Request) -> None:
    """The first ranges are right, what comes later is not."""
    if request.number > 2:
        await old_chunks(request)
    else:
        await request.send_well()


async def loop(request: Request) -> None:
    await request.send("302 Found", b"", f"Location: {request.path}")


async def nowhere(request: Request) -> None:
    await request.send("302 Found")


async def to_a_file(request: Request) -> None:
    await request.send("301 Moved", b"", "Location: file:///etc/passwd")


async def to_a_user(request: Request) -> None:
    await request.send("307 Moved", b"", "Location: http://ann:secret@127.0.0.2/")


async def overloaded(request: Request) -> None:
    await request.send("503 Unavailable", b"", "Retry-After: 30")


async def always_short(request: Request) -> None:
    if request.wanted and request.data:
        first, last = request.wanted
        where = f"Content-Range: bytes {first}-{last}/{len(request.data)}"
        await request.send("206 Partial Content", b"abc", where, length=last - first + 1)
        request.writer.close()
    else:
        await request.send_well()


BROKEN: dict[str, tuple[Manner, str]] = {
    "gzip": (compressed, "compresses what it sends"),
    "huge fields": (huge_fields, "does not answer as HTTP does"),
    "many fields": (many_fields, "does not answer as HTTP does"),
    "no HTTP": (no_http, "does not answer as HTTP does"),
    "endless manifest": (endless_manifest, "no end"),
    "long manifest": (long_manifest, "more than any can have"),
    "short manifest": (short_manifest, "ended the connection before all had come"),
    "a page as manifest": (other_manifest, "does not hash to the mod id"),
    "nothing": (nothing_there, "does not serve this mod"),
    "no chunks": (no_chunks, "upload both files"),
    "old chunks": (old_chunks, "do not hash"),
    "changing": (changing, "do not hash"),
    "redirect loop": (loop, "more than 5 times"),
    "redirect nowhere": (nowhere, "without saying where"),
    "redirect to a file": (to_a_file, "not HTTP"),
    "redirect to a user": (to_a_user, "a user or a password"),
    "redirect to private": (
        lambda request: request.send("302 Found", b"", "Location: http://127.0.0.2:8009/"),
        "127.0.0.2 is an address of this machine",
    ),
    "overloaded": (overloaded, "overloaded"),
    "always short": (always_short, "ended the connection before all had come"),
    "another range": (fields("Content-Range: bytes NEXT-LAST/ALL"), "answers the bytes"),
    "no Content-Range": (fields(), "without saying which"),
    "no numbers": (fields("Content-Range: bytes a-b/c"), "without saying which"),
    "another total": (fields("Content-Range: bytes FIRST-LAST/99999999"), "was not uploaded whole"),
    "another length": (fields("Content-Range: bytes FIRST-FIRST/ALL"), "announces"),
    "shifted bytes": (fields(RIGHT, offset=1), "do not hash|ended the connection"),
    "416": (fields("Content-Range: bytes */5", status="416 No"), "shorter than the mod's"),
    "403": (fields(status="403 Forbidden"), "does not allow it"),
    "an odd status": (fields(status="299 What"), "answers 299"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_broken_is_named_and_others_serve(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manner, why = BROKEN[name]
    monkeypatch.setattr(limits, "ORIGIN_RETRY_S", 0.01)
    monkeypatch.setattr(limits, "SEARCH_AGAIN_S", 0.01)
    monkeypatch.setattr(limits, "MANIFEST_BYTES", 2**23)
    async with origin_world(tmp_path) as world, web_server(world.files, manner) as server:
        async with closing(world.origins(server.url)) as origins:
            with pytest.raises(NoSources, match=why) as failed:
                await world.get(origins)
            assert server.url in str(failed.value)
        async with (
            web_server(world.files) as good,
            closing(world.origins(server.url, good.url)) as origins,
        ):
            done = await world.get(origins)
            assert good.url in done.bytes_from


async def test_an_origin_and_a_peer_serve_one_download(tmp_path: Path) -> None:
    async with (
        origin_world(tmp_path) as world,
        web_server(world.files) as server,
        closing(world.origins(server.url)) as origins,
    ):
        ours, theirs = world.holder.connect(world.getter)
        ours.bytes_per_second = 20_000_000.0
        exchange = world.getter.exchanges.attach(theirs)
        done = await world.get(origins, exchange)
        assert set(done.bytes_from) == {server.url, exchange.name}


async def test_peers_go_on_where_an_origin_ends(tmp_path: Path) -> None:
    async with origin_world(tmp_path) as world, web_server(world.files, changing) as server:
        ours, theirs = world.holder.connect(world.getter)
        ours.bytes_per_second = 20_000_000.0
        exchange = world.getter.exchanges.attach(theirs)
        async with closing(world.origins(server.url)) as origins:
            done = await world.get(origins, exchange)
        assert set(done.banned) <= {server.url}
        assert exchange.name in done.bytes_from


async def test_an_origin_that_holds_back_its_bytes_stands_in_no_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LATE_S", 0.05)

    async def holds_back(request: Request) -> None:
        if request.wanted:
            await request.send("206 Partial Content", b"", length=request.size)
            await asyncio.get_running_loop().create_future()
        await request.send_well()

    async with (
        origin_world(tmp_path) as world,
        web_server(world.files, holds_back) as slow,
        web_server(world.files) as good,
        closing(world.origins(slow.url, good.url)) as origins,
    ):
        done = await world.get(origins)
        assert good.url in done.bytes_from


async def test_a_mod_that_was_uploaded_badly_keeps_no_other_from_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left alone itself; a server that fails is, for all of its mods."""
    monkeypatch.setattr(limits, "ORIGIN_RETRY_S", 0.01)
    async with origin_world(tmp_path) as world, web_server(world.files) as server:
        other = await world.holder.publisher.publish(
            write_files(tmp_path / "other", {"a": bytes(1000)}), "other"
        )
        manifest = await world.holder.vault.get(other.mod_id)
        assert manifest is not None
        server.files[file_names(other.mod_id)[0]] = manifest
        async with closing(world.origins(server.url)) as origins:

            async def other_fails(why: str) -> None:
                with pytest.raises(NoSources, match=why):
                    await world.getter.downloader.download(other.link, finding(origins))

            await other_fails("upload both files")
            before = len(server.requests)
            await other_fails("upload both files; it is asked again in")
            assert len(server.requests) == before
            await world.get(origins)
        server.manner = overloaded
        async with closing(world.origins(server.url)) as origins:
            await other_fails("overloaded")
            third = replace(world.shared.link, mod_id=bytes(32))
            with pytest.raises(NoSources, match=r"overloaded .*; it is asked again in"):
                await world.getter.downloader.download(third, finding(origins))


async def test_what_is_here_is_not_fetched_again(tmp_path: Path) -> None:
    async with origin_world(tmp_path) as world, web_server(world.files) as server:
        server.manner = breaking_after(3)
        async with closing(world.origins(server.url)) as origins:
            with pytest.raises(NoSources):
                await world.get(origins)
        before = set(await world.getter.vault.missing(world.shared.mod_id))
        assert 0 < len(before) < world.shared.chunks
        server.manner = lambda request: request.send_well()
        async with closing(world.origins(server.url)) as origins:
            done = await world.get(origins)
            assert done.chunks_fetched == len(before)


def breaking_after(count: int) -> Manner:
    async def answer(request: Request) -> None:
        if request.number > count:
            await request.send("403 Forbidden")
        else:
            await request.send_well()

    return answer


async def test_many_getters_begin_at_places_of_their_own(tmp_path: Path) -> None:
    first = []
    for seed in range(3):
        async with (
            origin_world(tmp_path / str(seed)) as world,
            web_server(world.files) as server,
            closing(world.origins(server.url, seed=seed)) as origins,
        ):
            await world.get(origins)
            wanted = server.chunk_requests[0].wanted
            assert wanted is not None
            first.append(wanted[0])
    assert len(set(first)) == len(first)
