"""Whole nodes: what came of a download that was cut short stays, however small the vault is."""

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.answers.downloads import DownloadState
from node.content.progress import Progress
from node.content.queue.entry import DownloadRequest
from node.content.queue.queue import DownloadQueue
from protocol import limits
from protocol.content.link import ModLink
from simulations.residents.whole import WholeResident
from simulations.seeds import derive_rng
from tests.simulations.mods_shared import share
from tests.simulations.pair_world import pair_world, until
from tests.simulations.test_caching_for_others import at

SIZE = 2_000_000
ENOUGH = 500_000


@dataclass(slots=True)
class Small(WholeResident):
    """One with room for hardly anything, by its person's word."""

    vault_bytes: int = 1


async def kept_bytes(person: WholeResident, link: ModLink) -> int:
    """What the vault has of a mod, a good while after its budget was last looked at."""
    await asyncio.sleep(2 * limits.VAULT_CHECK_S)
    usages = (await person.running_node.sharing.keeping.state()).usages
    return sum(usage.bytes for usage in usages if usage.mod.mod_id == link.mod_id)


def came_of(downloads: DownloadQueue) -> int:
    """How many bytes of the first download are here."""
    return (downloads.view().downloads[0].progress or Progress("queued")).bytes_done


async def test_a_get_goes_on_from_what_came_and_so_does_a_paused_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "VAULT_CHECK_S", 20.0)
    monkeypatch.setattr(limits, "CUT_SHORT_KEPT_S", 120.0)
    rng = derive_rng(1, "content")
    async with pair_world(tmp_path, publics=4) as town:
        sharer, getter = await at(town, "81.2.3.4"), await at(town, "82.2.3.4", Small)
        sharer.running_node.transfers.up.command("200k", None)
        first = await share(sharer, tmp_path / "first", rng.randbytes(SIZE))
        second = await share(sharer, tmp_path / "second", rng.randbytes(SIZE))
        seen = [0]

        def look(progress: Progress) -> None:
            seen[0] = progress.bytes_done

        with getter.host.running():
            get = getter.running_node.sharing.get(first, tmp_path / "out1", progress=look)
            getting = getter.host.create_task(get)
        await until(lambda: seen[0] > ENOUGH)
        getting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await getting
        assert await kept_bytes(getter, first) > ENOUGH
        with getter.host.running():
            got = await getter.running_node.sharing.get(first, tmp_path / "out1")
        assert got.bytes_fetched < SIZE - ENOUGH // 2
        assert await kept_bytes(getter, first) == 0, "all of it was written"

        downloads = getter.running_node.downloads
        request = DownloadRequest(second, target=tmp_path / "out2")
        with getter.host.running():
            number = downloads.add(request).id
        await until(lambda: came_of(downloads) > ENOUGH)
        await downloads.pause(number)
        await asyncio.sleep(2 * limits.CUT_SHORT_KEPT_S)
        assert await kept_bytes(getter, second) > ENOUGH
        await getter.end()
        await getter.start()
        await getter.running.joined.wait()
        assert await kept_bytes(getter, second) > ENOUGH
        downloads = getter.running_node.downloads
        with getter.host.running():
            downloads.resume(number)
        await until(lambda: downloads.view().downloads[0].state is DownloadState.DONE)
        assert await kept_bytes(getter, second) == 0
        assert not getter.running_node.defects
