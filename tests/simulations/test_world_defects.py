"""A world fails for a defect in any part of a whole node, not in its membership alone."""

from pathlib import Path

import pytest

from simulations.libraries.seams import virtual_libraries
from simulations.residents.whole import WholeResident
from simulations.residents.world import World


async def test_a_defect_about_content_fails_the_world(tmp_path: Path) -> None:
    world = World(8, folder=tmp_path)
    with virtual_libraries(world.internet):
        resident = world.add(WholeResident)
        assert isinstance(resident, WholeResident)
        await resident.start()
        resident.running_node.sharing._exchanges.defects.append(ValueError("a defect"))
        with pytest.raises(ExceptionGroup, match="nodes had defects"):
            await world.close()
