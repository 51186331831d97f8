"""Nine bad holders, each of another kind, beside one good one: whole nodes, real links."""

import asyncio
import random
from pathlib import Path
from typing import Any

from protocol.content.link import ModLink
from protocol.content.manifests import manifest
from simulations.attacks import holders
from simulations.attacks.holders import HostileHolder, HostileUploaders
from simulations.attacks.partial_holders import PARTIAL_KINDS
from simulations.residents.whole import WholeResident
from tests.hostile.told import RecordProperty
from tests.simulations.mods_shared import get, share
from tests.simulations.pair_world import pair_world

MOD_BYTES = 12_000_000

KINDS: tuple[type[HostileHolder], ...] = (
    *(holders.SilentAtOpen, holders.DrippingManifest, holders.FloodOfHaves),
    *(holders.HugeManifest, holders.LaterLyingChunks, holders.SlowChunks),
    *PARTIAL_KINDS,
)


async def _pretend(folder: Path, bad: WholeResident, good: WholeResident, link: ModLink) -> None:
    """Announce a mod of which this node has no more than the manifest and a chunk."""
    has_all, vault = good.running_node._vault, bad.running_node._vault
    mod, data = await has_all.mod(link.mod_id), await has_all.get(link.mod_id)
    assert mod is not None
    assert data is not None
    read = manifest.decode_manifest(data)
    chunk = await has_all.get(read.addresses[0])
    assert chunk is not None
    with bad.host.running():
        await vault.add_mod(mod, read)
        await vault.put([(read.addresses[0], chunk)])
    await share(bad, folder / f"other{bad.number}", b"x")  # announces all that it has


async def _seconds(folder: Path, uploaders: HostileUploaders, kinds: list[type[Any]]) -> float:
    async with pair_world(folder) as town:
        good, getter, *bad = await town.settled(*["public"] * (2 + len(kinds)))
        link = await share(good, folder, random.Random(5).randbytes(MOD_BYTES))
        for one, kind in zip(bad, kinds, strict=True):
            await _pretend(folder, one, good, link)
            uploaders.turn(one.running_node._vault, kind, good.running_node._vault)
        await asyncio.sleep(60.0)
        result, seconds = await get(getter, link, folder / "got")
        assert result.bytes == MOD_BYTES
        if kinds:
            assert len(getter.running_node.pool.links()) > len(kinds) // 2
        return seconds


async def test_nine_bad_holders_of_nine_kinds_hardly_delay_a_get(
    tmp_path: Path, uploaders: HostileUploaders, record_property: RecordProperty
) -> None:
    alone_s = await _seconds(tmp_path / "alone", uploaders, [])
    record_property("alone_s", alone_s)
    among_s = await _seconds(tmp_path / "among", uploaders, list(KINDS))
    record_property("attacked_s", among_s)
    record_property("attackers", len(KINDS))
    assert among_s <= 2.0 + 1.1 * alone_s, (alone_s, among_s)
