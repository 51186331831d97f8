"""A vault's background work takes a twentieth of a core; what a person waits for is exempt."""

import asyncio
import random
from pathlib import Path

import pytest

from node.content.download.writer import ChunkWriter
from node.content.keeping.scrubber import Scrubber
from node.content.progress import ReportProgress
from node.content.rates.background import BackgroundPacer
from node.content.vault.upkeep import scrubbing
from node.content.vault.vault import Vault
from protocol import limits
from tests.node.content.keeping.test_keeper import KB, Mods, blob, chunks

SHARE = limits.BACKGROUND_CPU_MS_PER_SECOND / 1000
STEP_S = 0.5


class Core:
    """The CPU's time, of which each step takes STEP_S."""

    def __init__(self) -> None:
        self.used_s = 0.0

    def used(self) -> float:
        self.used_s += STEP_S
        return self.used_s


async def no_repair(mod_id: bytes, report: ReportProgress, pacer: BackgroundPacer | None) -> None:
    raise AssertionError("nothing is damaged")


async def fetch(vault: Vault, pacer: BackgroundPacer | None, count: int) -> None:
    """Chunks come and are stored, one at a time."""
    writer = ChunkWriter(vault, lambda *_: None, lambda: pacer)
    for number in range(count):
        address, data = blob(1000 + number)
        writer.add(number, address, data)
        await writer.flush()


@pytest.mark.parametrize("background", [True, False])
async def test_checking_and_caching_share_a_twentieth_of_a_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, background: bool
) -> None:
    monkeypatch.setattr(scrubbing, "_CHECKED_BYTES", 2 * KB)
    loop, core = asyncio.get_running_loop(), Core()
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    await mods.add(0, chunks(0, 40))
    pacer, scrubber = BackgroundPacer(core.used), Scrubber(mods.vault, no_repair)
    began = loop.time()
    check = scrubber.run_paced(pacer) if background else scrubber.run()
    found, _ = await asyncio.gather(check, fetch(mods.vault, pacer if background else None, 20))
    await pacer.rest()
    took_s = loop.time() - began
    if background:
        assert found is not None
        assert core.used_s >= 80 * STEP_S, "20 checks and 20 batches, each between two looks"
        assert took_s >= core.used_s / 2 / SHARE - 2
    else:
        assert (core.used_s, took_s) == (0.0, 0.0)
    await mods.vault.close()


async def test_what_the_link_of_a_cache_takes_counts_by_its_bytes(tmp_path: Path) -> None:
    """A link's work is not measured, so storing that costs nothing is not free."""
    loop = asyncio.get_running_loop()
    vault = await Vault.open(tmp_path / "vault", lambda: 1e6)
    pacer, size = BackgroundPacer(lambda: 0.0), 4_000_000
    data = random.Random(1).randbytes(size)
    writer = ChunkWriter(vault, lambda *_: None, lambda: pacer)
    began = loop.time()
    for number in range(5):
        writer.add(number, b"%032d" % number, data)  # wrong addresses: nothing is written
        await writer.flush()
    await pacer.rest()
    seconds = 5 * size / 1e6 * limits.BACKGROUND_LINK_MS_PER_MB / 1000
    assert loop.time() - began == pytest.approx(seconds / SHARE, abs=2.0)
    await vault.close()
