"""Whole nodes on real sockets: a follower has a mod's versions from a real HTTP server alone."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.answers.mods import ShareResult
from node.config import Config
from node.environment import Environment
from node.runtime import Node
from tests.identities import give_identities
from tests.node.content.content_nodes import AGREED, read_files, some_files, until, write_files
from tests.node.content.origins.web_server import WebServer, exported, web_server

pytestmark = pytest.mark.real_loop

ONE = some_files(sizes=(100, 3_000_000, 70_000))
TWO = ONE | {"new": b"new" * 5000}


@contextlib.asynccontextmanager
async def running(home: Path, bootstrap: str = "") -> AsyncIterator[Node]:
    config = Config(listen=("127.0.0.1:0",), bootstrap=(bootstrap,) if bootstrap else ())
    node = Node.open(home, config, Environment(), lambda _: None)
    await node.start()
    try:
        yield node
    finally:
        await node.stop()
    assert node.defects == []


async def upload(
    folder: Path, publisher: Node, server: WebServer, files: dict[str, bytes]
) -> ShareResult:
    """Share the next version and put its export on the server."""
    write_files(folder / "hats", files)
    shared = await publisher.sharing.share(folder / "hats", origins=(server.url,))
    await publisher.sharing.exporter.export(shared.mod_id, folder / "www")
    server.files.update(exported(folder / "www"))
    return shared


async def test_versions_come_from_a_server_while_their_publisher_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a loopback address, which no link may name but in this test."""
    monkeypatch.setattr("node.content.origins.connecting.why_not_public", lambda *_: None)
    homes = [tmp_path / name for name in ("third", "publisher", "follower")]
    give_identities(homes)
    target = tmp_path / "got" / "hats"
    async with running(homes[0]) as third, web_server({}) as server:
        (known,) = third.status().bootstrap_addresses
        async with running(homes[1], known) as publisher:
            shared = await upload(tmp_path, publisher, server, ONE)
        async with running(homes[2], known) as follower:
            consent = follower.sharing.origins.consent
            consent.remember(shared.lineage.lineage_key, (server.url,), agreed=True)
            view = await follower.following.follow(shared.lineage, target, bound=AGREED)
            assert (view.version, read_files(target)) == (1, ONE)
        before = len(server.requests)
        async with running(homes[1], known) as publisher:
            await upload(tmp_path, publisher, server, TWO)
        async with running(homes[2], known) as follower:
            await until(lambda: [one.version for one in follower.following.views()] == [2])
            assert read_files(target) == TWO
        assert len(server.requests) > before
