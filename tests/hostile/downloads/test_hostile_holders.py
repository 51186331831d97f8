"""One good holder of a mod serves a download in time, whatever nine others do.

The scarce things are the asker's: the place of the holder that is asked for the manifest, the
chunks that are asked of one source, the memory for what sources announce.
"""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from protocol.content import frames
from protocol.errors import NoSources
from simulations.attacks import holders
from simulations.attacks.holders import (
    DrippingChunks,
    DrippingManifest,
    FloodOfHaves,
    HaltingChunks,
    HostileHolder,
    HostileUploaders,
)
from simulations.attacks.partial_holders import PARTIAL_KINDS, ClaimsAndLacks
from tests.hostile.told import RecordProperty
from tests.node.content.content_nodes import (
    content_nodes,
    links_one_by_one,
    links_to,
    write_files,
)

KINDS = (*holders.KINDS, *PARTIAL_KINDS)
MOD_BYTES = 12_000_000
BAD = 9
LINE_BYTES_PER_SECOND = 4e6
"""Of each holder: the good one alone takes three seconds."""


async def _seconds(
    folder: Path,
    uploaders: HostileUploaders,
    kinds: Sequence[type[HostileHolder]],
    *,
    good_first: bool = False,
    size: int = MOD_BYTES,
) -> float:
    """How long a download takes from one good holder and holders of these kinds."""
    async with content_nodes(folder, len(kinds) + 2) as (good, getter, *bad):
        source = write_files(folder / "source", {"mod.bin": random.Random(5).randbytes(size)})
        link = (await good.publisher.publish(source, "mod")).link
        for node, kind in zip(bad, kinds, strict=True):
            uploaders.turn(node.vault, kind, good.vault)
        ends = []
        for node in (good, *bad) if good_first else (*bad, good):
            ours, theirs = node.connect(getter)
            ours.bytes_per_second = LINE_BYTES_PER_SECOND
            ends.append(theirs)
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.timeout(200.0):
            await getter.download(link, links_one_by_one(*ends))
        assert await getter.vault.missing(link.mod_id) == []
        return loop.time() - started


ALONE_S = MOD_BYTES / LINE_BYTES_PER_SECOND


async def test_the_good_one_alone(tmp_path: Path, uploaders: HostileUploaders) -> None:
    assert await _seconds(tmp_path, uploaders, []) == pytest.approx(ALONE_S, abs=0.1)


@pytest.mark.parametrize("good_first", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_nine_of_a_kind_hardly_delay_a_download(
    tmp_path: Path,
    uploaders: HostileUploaders,
    kind: type[HostileHolder],
    good_first: bool,
    record_property: RecordProperty,
) -> None:
    record_property("alone_s", ALONE_S)
    among_s = await _seconds(tmp_path, uploaders, [kind] * BAD, good_first=good_first)
    record_property("attacked_s", among_s)
    record_property("attackers", BAD)
    assert among_s <= 2.0 + 1.1 * ALONE_S


@pytest.mark.parametrize("kind", KINDS)
async def test_nine_of_a_kind_hardly_delay_a_small_mod(
    tmp_path: Path, uploaders: HostileUploaders, kind: type[HostileHolder]
) -> None:
    assert await _seconds(tmp_path, uploaders, [kind] * BAD, size=50_000) <= 2.0


@pytest.mark.parametrize("start", range(len(KINDS)))
async def test_nine_of_different_kinds_hardly_delay_a_download(
    tmp_path: Path, uploaders: HostileUploaders, start: int
) -> None:
    kinds = [KINDS[(start + number) % len(KINDS)] for number in range(BAD)]
    assert await _seconds(tmp_path, uploaders, kinds) <= 2.0 + 1.1 * ALONE_S


async def test_one_that_drips_is_given_up_though_it_is_the_only_one(
    tmp_path: Path, uploaders: HostileUploaders
) -> None:
    for kind in (DrippingManifest, DrippingChunks, HaltingChunks):
        async with content_nodes(tmp_path / kind.__name__, 3) as (good, getter, bad):
            source = write_files(tmp_path / "source", {"mod.bin": bytes(range(256)) * 2000})
            link = (await good.publisher.publish(source, "mod")).link
            uploaders.turn(bad.vault, kind, good.vault)
            _, end = bad.connect(getter)
            async with asyncio.timeout(300.0):
                with pytest.raises(NoSources):
                    await getter.download(link, links_to(end))


class HavesBeforeOpened(HostileHolder):
    """Tells what it holds on a stream that it never opened."""

    async def opened(self, request: frames.Open) -> None:
        """Skip the answer."""
        self.send(frames.Have(request.stream, 0, b"\xff"))


@pytest.mark.parametrize(
    ("kind", "size", "reason"),
    [
        (FloodOfHaves, 10**6, "nothing of it is new"),
        (HavesBeforeOpened, 10**6, "was not opened"),
        (ClaimsAndLacks, MOD_BYTES, "lacks most of the chunks that it announced"),
    ],
)
async def test_messages_that_bring_nothing_are_a_reason_for_a_ban(
    tmp_path: Path, uploaders: HostileUploaders, kind: type[HostileHolder], size: int, reason: str
) -> None:
    async with content_nodes(tmp_path, 3) as (good, getter, bad):
        source = write_files(tmp_path / "source", {"mod.bin": random.Random(5).randbytes(size)})
        link = (await good.publisher.publish(source, "mod")).link
        uploaders.turn(bad.vault, kind, good.vault)
        (back, from_good), (_, from_bad) = good.connect(getter), bad.connect(getter)
        back.bytes_per_second = 1e6
        done = await getter.download(link, links_one_by_one(from_bad, from_good))
        assert list(done.banned) == [bad.name]
        assert reason in done.banned[bad.name]
        assert done.bytes_from[good.name] > 0
