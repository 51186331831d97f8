"""Two machines share a mod in turn, and each goes on after the other, also where it is alone."""

import asyncio
from pathlib import Path

from tests.node.content.content_nodes import write_files
from tests.simulations.following_town import ONE, THREE, TWO, town


async def test_a_machine_that_is_alone_after_a_restart_goes_on_after_what_it_heard(
    tmp_path: Path,
) -> None:
    """It has heard of a version of the other machine before: to share another one would fork."""
    async with town(tmp_path, count=3) as there:
        first = await there.share(ONE)
        lineage = first.lineage.lineage_key
        with there.publisher.host.running():
            exported = await there.publisher.running_node.sharing.versions.export("hats")
        other = there.nodes[1]
        source = write_files(tmp_path / "elsewhere" / "hats", TWO)
        with other.host.running():
            sharing = other.running_node.sharing
            await sharing.versions.take_over(exported.lineage)
            second = await sharing.share(source, "hats", continues=True)
        with there.publisher.host.running():
            node = there.publisher.running_node
            found = await node.following.versions(first.lineage)
        assert [one.version for one in found.versions] == [2, 1]
        await asyncio.sleep(1)
        for one in there.nodes:
            await one.stop()
        await there.publisher.start()
        third = await there.share(THREE)
        assert (second.version, third.version) == (2, 3)
        heard = there.publisher.running_node.membership.lineages.heard
        seen = heard.seen(lineage)
        assert seen is not None
        assert not seen.told
