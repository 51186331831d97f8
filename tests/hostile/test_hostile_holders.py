"""One good holder of a mod serves a download in time, whatever nine others do.

The scarce things are the asker's: the place of whoever is asked for the manifest, the chunks that
are asked of one source, the memory for what sources announce.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.content.ports import LinkPort
from node.content.serve import exchange
from node.content.serve.uploader import Uploader
from protocol.content.link import ModLink
from simulations.attacks.holders import KINDS, HostileHolder, HostileUploaders
from tests.node.content.content_nodes import (
    ContentNode,
    FindLinks,
    content_nodes,
    links_to,
    write_files,
)
from tests.node.content.memory_links import MemoryLink

MOD_BYTES = 12_000_000
BAD = 9
LINE_BYTES_PER_SECOND = 4e6
"""Of each holder: the good one alone takes three seconds."""


@pytest.fixture
def uploaders(monkeypatch: pytest.MonkeyPatch) -> HostileUploaders:
    """Lets holders of a test serve like attackers."""
    hostile = HostileUploaders(Uploader)
    monkeypatch.setattr(exchange, "Uploader", hostile)
    return hostile


async def _share(folder: Path, nodes: list[ContentNode], size: int) -> ModLink:
    """A mod that all but the last node hold."""
    source = write_files(folder / "source", {"mod.bin": random.Random(5).randbytes(size)})
    shared = await nodes[0].publisher.publish(source, "mod")
    for node in nodes[1:-1]:
        _, theirs = nodes[0].connect(node)
        await node.download(shared.link, links_to(theirs))
        theirs.cut("copied")
    await asyncio.sleep(1.0)
    return shared.link


def _found_one_by_one(ends: list[MemoryLink]) -> FindLinks:
    """A search that finds each of these a moment after the one before."""

    async def find(_: bytes) -> AsyncIterator[LinkPort]:
        for end in ends:
            yield end
            await asyncio.sleep(0.02)

    return find


async def _seconds(
    folder: Path,
    uploaders: HostileUploaders,
    kinds: list[type[HostileHolder]],
    *,
    good_first: bool,
    size: int = MOD_BYTES,
) -> float:
    """How long a download takes from one good holder and holders of these kinds."""
    async with content_nodes(folder, len(kinds) + 2) as nodes:
        link = await _share(folder, nodes, size)
        *serving, getter = nodes
        bad = serving[1:] if good_first else serving[:-1]
        for node, kind in zip(bad, kinds, strict=True):
            uploaders.kind_of[node.vault] = kind
        ends = []
        for node in serving:
            ours, theirs = node.connect(getter)
            ours.bytes_per_second = LINE_BYTES_PER_SECOND
            ends.append(theirs)
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.timeout(200.0):
            await getter.download(link, _found_one_by_one(ends))
        assert await getter.vault.missing(link.mod_id) == []
        return loop.time() - started


@pytest.mark.parametrize("good_first", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_nine_of_a_kind_hardly_delay_a_download(
    tmp_path: Path, uploaders: HostileUploaders, kind: type[HostileHolder], good_first: bool
) -> None:
    alone_s = await _seconds(tmp_path / "alone", uploaders, [], good_first=good_first)
    among_s = await _seconds(tmp_path / "among", uploaders, [kind] * BAD, good_first=good_first)
    assert among_s <= 2.0 + 1.1 * alone_s


@pytest.mark.parametrize("kind", KINDS)
async def test_nine_of_a_kind_hardly_delay_a_small_mod(
    tmp_path: Path, uploaders: HostileUploaders, kind: type[HostileHolder]
) -> None:
    alone_s = await _seconds(tmp_path / "alone", uploaders, [], good_first=False, size=50_000)
    among_s = await _seconds(
        tmp_path / "among", uploaders, [kind] * BAD, good_first=False, size=50_000
    )
    assert among_s <= 2.0 + 1.1 * alone_s


@pytest.mark.parametrize("start", range(len(KINDS)))
async def test_nine_of_different_kinds_hardly_delay_a_download(
    tmp_path: Path, uploaders: HostileUploaders, start: int
) -> None:
    kinds = [KINDS[(start + number) % len(KINDS)] for number in range(BAD)]
    alone_s = await _seconds(tmp_path / "alone", uploaders, [], good_first=False)
    among_s = await _seconds(tmp_path / "among", uploaders, kinds, good_first=False)
    assert among_s <= 2.0 + 1.1 * alone_s
