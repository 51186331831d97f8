"""Versions come from HTTP servers that a lineage names, where a person let these be asked."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from aiohttp import ClientResponse
from yarl import URL

from node.answers.follows import FollowStatus
from node.answers.mods import ShareResult
from node.content.origins.client import OriginClient
from node.content.origins.connecting import OwnHosts
from node.content.origins.origins import NamedBy, NamedOrigin
from protocol.content.lineage.history import body_of
from protocol.content.link import LineageLink
from protocol.errors import NetworkError, OriginFailed
from protocol.identity import base32_text
from tests.node.content.content_nodes import read_files
from tests.simulations.following_town import LINKED_S, ONE, THREE, TWO, UNLINKED_S, Town, town

COUNT = 4
"""Nodes, so that records outlast the publisher."""

MINE, OTHER = "https://mods.example/files", "http://other.example"


@dataclass
class Answer:
    """What of a ClientResponse an origin's stream reads."""

    status: int
    headers: dict[str, str]
    body: bytes
    content: asyncio.StreamReader = field(default_factory=asyncio.StreamReader)

    def __post_init__(self) -> None:
        self.content.feed_data(self.body)
        self.content.feed_eof()

    def release(self) -> None:
        """All was read."""

    def close(self) -> None:
        """No more is read."""


class Web:
    """The web servers of a simulated internet."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.is_down = False
        self.own_hosts: list[OwnHosts] = []

    def answer(self, url: str, wanted: str | None) -> Answer:
        """What the server of a URL answers, to the Range field of a request if that has one."""
        body = self.files.get(url)
        if body is None:
            return Answer(404, {}, b"")
        headers = {"Accept-Ranges": "bytes"}
        if wanted is not None:
            first, last = map(int, wanted.removeprefix("bytes=").split("-"))
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
            body = body[first : last + 1]
        headers["Content-Length"] = str(len(body))
        return Answer(206 if wanted else 200, headers, body)

    async def upload(self, there: Town, shared: ShareResult, base: str) -> None:
        """Put what an export of a version writes below `base`."""
        folder = there.source.parent / "www"
        with there.publisher.host.running():
            exporter = there.publisher.running_node.sharing.exporter
            done = await exporter.export(shared.mod_id, folder)
        for path in (done.manifest, done.chunks):
            self.files[f"{base}/{path.name}"] = path.read_bytes()


class WebClient(OriginClient):
    """The product's client, with no sockets below it."""

    def __init__(self, web: Web, own_hosts: OwnHosts) -> None:
        super().__init__(own_hosts=own_hosts)
        self._web = web

    async def _ask(self, at: URL, headers: dict[str, str], *, trusted: bool) -> ClientResponse:
        assert not trusted
        self._web.asked.append(str(at))
        await asyncio.sleep(0.05)
        if self._web.is_down:
            raise OriginFailed("it is down")
        return cast("ClientResponse", self._web.answer(str(at), headers.get("Range")))


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    made = Web()

    def client(own_hosts: OwnHosts) -> WebClient:
        made.own_hosts.append(own_hosts)
        return WebClient(made, own_hosts)

    monkeypatch.setattr("node.content.origins.origins.OriginClient", client)
    return made


def agree(there: Town, lineage: LineageLink, *urls: str) -> None:
    consent = there.follower.running_node.sharing.origins.consent
    consent.remember(lineage.lineage_key, urls, agreed=True)


def recorded(there: Town, lineage: LineageLink) -> tuple[str, ...]:
    """What the newest record of a lineage names."""
    heard = there.publisher.running_node.membership.lineages.heard
    newest = heard.newest(lineage.lineage_key)
    assert newest is not None
    return body_of(newest).origins


async def test_each_node_knows_what_is_its_own_network(web: Web, tmp_path: Path) -> None:
    async with town(tmp_path, count=COUNT) as there:
        await asyncio.sleep(UNLINKED_S)
        for node, own_hosts in zip(there.nodes, web.own_hosts, strict=True):
            assert own_hosts() == node.running_node.membership.own_network.hosts()
            assert set(node.host.addresses) <= set(own_hosts())


async def test_origins_stay_until_others_or_none_are_named(web: Web, tmp_path: Path) -> None:
    async with town(tmp_path, count=COUNT) as there:
        first = await there.share(ONE, origins=(MINE, OTHER))
        assert first.origins == first.link.origins == first.lineage.origins == (MINE, OTHER)
        for files in (ONE, TWO):
            again = await there.share(files)
            assert again.origins == again.lineage.origins == recorded(there, first.lineage)
            assert again.origins == (MINE, OTHER)
        await there.publisher.stop()
        await there.publisher.start()
        assert (await there.share(THREE)).origins == (MINE, OTHER)
        with there.publisher.host.running():
            (listed,) = await there.publisher.running_node.sharing.versions.views()
        assert listed.link.origins == (MINE, OTHER)
        assert (await there.share(THREE, origins=(OTHER,))).origins == (OTHER,)
        assert recorded(there, first.lineage) == (OTHER,)
        assert (await there.share(THREE, origins=())).origins == ()
        assert recorded(there, first.lineage) == ()


async def test_a_version_comes_from_a_server_alone_after_a_yes(web: Web, tmp_path: Path) -> None:
    """The publisher goes away as soon as the server has the version."""
    async with town(tmp_path, count=COUNT) as there:
        first = await there.share(ONE, origins=(MINE,))
        await there.follow(first)
        await there.follower.stop()  # so that it does not get the version at once
        second = await there.share(TWO)
        await web.upload(there, second, MINE)
        await there.publisher.stop()
        await there.follower.start()
        await asyncio.sleep(UNLINKED_S)
        assert (there.view.status, there.view.newest) == (FollowStatus.WAITING, 2)
        assert not web.asked, "a server was asked without a yes"
        agree(there, first.lineage, MINE)
        await there.until(TWO, 2 * UNLINKED_S)
        assert set(web.asked) == {url for url in web.files if base32_text(second.mod_id) in url}
        await there.publisher.start()


async def test_a_server_of_a_later_version_is_asked_after_a_yes_alone(
    web: Web, tmp_path: Path
) -> None:
    async with town(tmp_path, count=COUNT) as there:
        first = await there.share(ONE, origins=(MINE,))
        agree(there, first.lineage, MINE)
        await there.follow(first)
        second = await there.share(TWO, origins=(OTHER,))
        await web.upload(there, second, OTHER)
        await there.until(TWO, LINKED_S)
        assert not [url for url in web.asked if url.startswith(OTHER)]


async def test_the_newest_version_is_got_from_a_server_alone(web: Web, tmp_path: Path) -> None:
    """Also its manifest, which tells what version it is."""
    async with town(tmp_path, count=COUNT) as there:
        shared = await there.share(ONE, origins=(MINE,))
        await web.upload(there, shared, MINE)
        await there.publisher.stop()
        node, lineage = there.follower.running_node, LineageLink(*shared.lineage.parts)
        named = NamedOrigin(MINE, NamedBy.LINK, shared.mod_id)
        with there.follower.host.running():
            with pytest.raises(NetworkError):
                await node.following.resolve(lineage)
            assert not web.asked
            agree(there, lineage, MINE)
            link = await node.following.resolve(lineage)
            assert (link.mod_id, link.origins) == (shared.mod_id, (MINE,))
            assert node.sharing.origins.may_ask(named)
            got = await node.sharing.get(link, there.target)
            assert (got.sources, got.connect_ms) == ((MINE,), None)
            assert got.transfer_MBps is not None
            assert got.transfer_MBps > 0
            assert read_files(there.target) == ONE
            node.sharing.origins.consent.remember(lineage.lineage_key, (MINE,), agreed=False)
            await node.following.resolve(link=lineage)
            assert not node.sharing.origins.may_ask(named)
        await there.publisher.start()


async def test_a_server_that_was_down_is_asked_after_its_rest(web: Web, tmp_path: Path) -> None:
    async with town(tmp_path, count=COUNT) as there:
        shared = await there.share(ONE, origins=(MINE,))
        await web.upload(there, shared, MINE)
        await there.publisher.stop()
        agree(there, shared.lineage, MINE)
        web.is_down = True
        with there.follower.host.running():
            with pytest.raises(NetworkError, match="it is down"):
                await there.follow(shared)
            tried = len(web.asked)
            with pytest.raises(NetworkError, match="it is down; it is asked again in"):
                await there.follow(shared)
            assert len(web.asked) == tried, "it was asked while it is left alone"
            web.is_down = False
            await asyncio.sleep(130)
            assert (await there.follow(shared)).version == 1
        assert read_files(there.target) == ONE
        await there.publisher.start()
