"""A mod that is exported for a server: its names have all of their bytes, or are not there."""

from functools import partial
from pathlib import Path

from node.content.exporting.exporter import Exported, Exporter
from node.content.homes import HomeGuard
from protocol.content.manifests.manifest import decode_manifest
from protocol.content.origins.urls import file_names
from tests.node.content.content_nodes import ContentNode, content_node, write_files
from tests.node.content.crashing.life import Steps, check_vault, told
from tests.node.content.crashing.mods import files_of, link_in


class Export:
    """A node exports two mods into one folder, and the first one again."""

    name = "export"

    _seeds = (1, 2, 1)

    async def prepare(self, world: Path) -> None:
        """A node that has both, and a file of the person's beside."""
        async with content_node(world / "disk") as node:
            for seed in {*self._seeds}:
                source = write_files(world / f"source{seed}" / "mod", files_of(seed))
                shared = await node.publisher.publish(source, f"mod {seed}")
                (world / f"link{seed}").write_text(str(shared.link))
        write_files(world / "disk" / "www", {"index.html": b"mine"})

    async def run(self, world: Path, steps: Steps) -> None:
        """Export them, one after another."""
        async with steps.node(world / "disk") as node:
            for seed in self._seeds:
                await steps.do(partial(self._export, node, world, seed))
                steps.acknowledge("exported", str(seed))

    async def _export(self, node: ContentNode, world: Path, seed: int) -> Exported:
        exporter = Exporter(node.vault, HomeGuard(world / "disk" / "vault"))
        return await exporter.export(link_in(world, seed).mod_id, world / "disk" / "www")

    async def check(self, world: Path, acknowledged: list[str]) -> None:
        """No name has half of a file; the next export makes all whole and leaves nothing behind."""
        check_vault(world / "disk" / "vault")
        www, right = world / "disk" / "www", dict[str, bytes]()
        async with content_node(world / "disk") as node:
            for seed in {*self._seeds}:
                right |= await self._files(node, world, seed)
            there = {path.name: path.read_bytes() for path in www.iterdir() if path.is_file()}
            for name in right.keys() & there.keys():
                assert there[name] == right[name], f"half of {name} under its name"
            for (number,) in told(acknowledged, "exported"):
                names = file_names(link_in(world, int(number)).mod_id)
                assert there.keys() >= {*names}, "it was exported"
            assert there["index.html"] == b"mine"
            for seed in {*self._seeds}:
                await self._export(node, world, seed)
        found = {path.name: path.read_bytes() for path in www.iterdir()}
        assert found == right | {"index.html": b"mine"}

    async def _files(self, node: ContentNode, world: Path, seed: int) -> dict[str, bytes]:
        mod_id = link_in(world, seed).mod_id
        manifest = await node.vault.get(mod_id) or b""
        count = len(decode_manifest(manifest).addresses)
        chunks = await node.vault.get_chunks(mod_id, range(count)) or []
        return dict(
            zip(file_names(mod_id), (manifest, b"".join(filter(None, chunks))), strict=True)
        )
