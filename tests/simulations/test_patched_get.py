"""A `get` of a next version on the simulated internet: by the patch, and seen as one mod."""

import random
from pathlib import Path

import pytest

from protocol.content.link import ModLink
from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import move_in
from simulations.residents.sites import SITES
from simulations.residents.world import World
from tests.simulations.mods_shared import FILE, get, share


@pytest.mark.parametrize("is_served", [True, False])
async def test_a_next_version_comes_by_its_patch_or_without_it(
    is_served: bool, tmp_path: Path
) -> None:
    world = World(1, folder=tmp_path)
    data = random.Random(4).randbytes(2_000_000)
    changed = bytearray(data)
    for place in range(0, len(data), 25_000):
        changed[place] ^= 1
    with virtual_libraries(world.internet):
        sharer, follower = move_in(world, SITES["public"]), move_in(world, SITES["public"])
        for person in (sharer, follower):
            await person.start()
        await follower.running.joined.wait()
        first = await share(sharer, tmp_path / "shared", data)
        await get(follower, first, tmp_path / "first")
        (tmp_path / "shared" / "mod" / FILE).write_bytes(changed)
        sharing = sharer.running_node.sharing
        with sharer.host.running():
            second: ModLink = (await sharing.share(tmp_path / "shared" / "mod")).link
            listed = await sharing.mods()
            assert [mod.mod_id for mod in listed] == [first.mod_id, second.mod_id]
            if not is_served:
                vault = sharing._vault
                (patch,) = [mod for mod in await vault.mods() if mod.patch_of is not None]
                assert await vault.remove_mod(patch.mod_id)
        got, seconds = await get(follower, second, tmp_path / "second")
        assert (tmp_path / "second" / FILE).read_bytes() == changed
        assert (got.bytes_fetched < 20_000) == is_served
        # A patch that is nowhere to be had costs some seconds at most.
        assert seconds < 10.0
        await world.close()
