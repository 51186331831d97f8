"""Whole nodes on loopback, of which some have no UDP: they join, link and move a mod."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from node.runtime import Node
from protocol import limits
from protocol.ice.paths.selector import PathClass
from tests.node.links.link_network import until
from tests.node.streams.blocked import BLOCKED, FREE, node_at

pytestmark = pytest.mark.real_loop


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback nothing takes long."""
    monkeypatch.setattr(limits, "UDP_SILENT_S", 0.1)
    monkeypatch.setattr(limits, "UDP_LOOK_S", 0.02)


async def joined(node: Node) -> None:
    async with asyncio.timeout(30):
        await node.joined.wait()


async def test_a_node_without_udp_joins_by_a_stream(tmp_path: Path) -> None:
    async with (
        node_at(tmp_path / "a", 0, FREE) as gateway,
        node_at(tmp_path / "b", 1, FREE, gateway) as other,
        node_at(tmp_path / "c", 2, BLOCKED, gateway) as blocked,
    ):
        await joined(blocked)
        assert blocked.membership.streams.is_blocked
        assert gateway.gateway.served == 1
        assert not other.membership.streams.is_blocked
        assert not blocked.membership.own_network.is_contact


async def test_a_node_that_takes_no_streams_serves_none(tmp_path: Path) -> None:
    async with (
        node_at(tmp_path / "a", 0, FREE, streams="off") as gateway,
        node_at(tmp_path / "b", 1, BLOCKED, gateway) as blocked,
    ):
        streams = blocked.membership.own_streams
        await until(lambda: streams.failures)
        assert any("cannot be reached by TCP" in one for one in streams.failures)
        assert not gateway.gateway.listening


async def test_the_status_says_that_the_name_of_the_proxy_is_wrong(tmp_path: Path) -> None:
    behind = replace(BLOCKED, variables={"HTTPS_PROXY": "https://127.0.0.1:3128"})
    async with (
        node_at(tmp_path / "a", 0, FREE) as gateway,
        node_at(tmp_path / "b", 1, behind, gateway) as blocked,
    ):
        await until(lambda: blocked.status().streams.failures)
        (told,) = blocked.status().streams.failures
        assert told.startswith("HTTPS_PROXY must be http://host:port")
        assert blocked.doctor.network().streams == blocked.status().streams


@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
async def test_links_without_udp_go_by_the_gateways(tmp_path: Path, *, both: bool) -> None:
    async with (
        node_at(tmp_path / "a", 0, FREE) as gateway,
        node_at(tmp_path / "b", 1, FREE, gateway) as second,
        node_at(tmp_path / "c", 2, BLOCKED, gateway, second) as blocked,
        node_at(tmp_path / "d", 3, BLOCKED if both else FREE, gateway, second) as friend,
    ):
        await joined(blocked)
        await joined(friend)
        await until(lambda: blocked.status().registrars)
        async with asyncio.timeout(60):
            link = await friend.pool.connect(blocked.identity.peer_id)
        assert link.peer_id == blocked.identity.peer_id
        await until(lambda: blocked.pool.get(friend.identity.peer_id))
        theirs = blocked.pool.get(friend.identity.peer_id)
        assert theirs is not None
        assert {path.report.path_class for path in theirs.paths} == {PathClass.STREAM}
        ours = PathClass.STREAM if both else PathClass.RELAYED
        assert {path.report.path_class for path in link.paths} == {ours}
        assert (link.path.kind, theirs.path.kind) == (ours, PathClass.STREAM)
        (up,) = blocked.pool.changes.since(0)
        assert up.path == theirs.path
