"""What a publisher names a mod decides no folder that programs of the getter read."""

from pathlib import Path

import pytest

from node.content.publish import own_lineages, publisher
from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import move_in
from simulations.residents.sites import SITES
from simulations.residents.world import World


@pytest.mark.parametrize("name", [".git", ".ssh", "-rf", "../up", "safe\u202egpj.exe", "nul"])
async def test_a_get_without_a_target_writes_to_a_plain_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (own_lineages, publisher):
        monkeypatch.setattr(module, "checked_name", lambda name: name)
    world = World(1, folder=tmp_path)
    with virtual_libraries(world.internet):
        person = move_in(world, SITES["public"])
        await person.start()
        mod = tmp_path / "mod"
        mod.mkdir()
        (mod / "config").write_bytes(b"abc")
        sharing = person.running_node.sharing
        with person.host.running():
            shared = await sharing.share(mod, name)
            await sharing.get(shared.link, into=tmp_path / "here")
        await world.close()
    (written,) = (tmp_path / "here").iterdir()
    assert written.name.startswith("mod-")
    assert (written / "config").read_bytes() == b"abc"
