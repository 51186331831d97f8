"""The mods of operations that are broken off, and what is asked of them."""

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from node.content.vault.vault import Measure, Vault, at_once
from protocol.content.link import ModLink
from protocol.texts import links
from tests.node.content.content_nodes import ContentNode, read_files
from tests.node.content.crashing.life import Steps

LINE_BYTES_S = 1_500_000.0
"""Of virtual time: so the chunks of a mod go to the vault by and by."""


def files_of(seed: int, common: int = 1) -> dict[str, bytes]:
    """A mod's files, of which some are those of other mods, by `common`."""
    rng, shared = random.Random(seed), random.Random(common)
    return {
        "readme.txt": b"mod %d" % seed,
        "empty": b"",
        "maps/zeros": bytes(150_000) + b"end",
        "maps/hole at the end": b"begin" + bytes(150_000),
        "maps/deep/er/one": rng.randbytes(1),
        "maps/own": rng.randbytes(400_000),
        "maps/common": shared.randbytes(300_000),
        "z/last": rng.randbytes(100_000),
        "z/very last": b"",
    }


def acknowledging(vault: Vault, steps: Steps) -> None:
    """Let a vault note each blob that it has stored."""
    real = vault.put

    async def put(blobs: Sequence[tuple[bytes, bytes]], measured: Measure = at_once) -> list[bytes]:
        wrong = await real(blobs, measured)
        for address, _ in blobs:
            if address not in wrong:
                steps.acknowledge("stored", address.hex())
        return wrong

    vault.put = put  # type: ignore[method-assign]


async def check_mod(node: ContentNode, mod_id: bytes, world: Path, files: dict[str, bytes]) -> None:
    """A node has all of a mod, and writes its files; `world` has room for them."""
    assert await node.vault.missing(mod_id) == []
    with tempfile.TemporaryDirectory(dir=world) as folder:
        await node.assembler.assemble(mod_id, Path(folder) / "copy")
        assert read_files(Path(folder) / "copy") == files


def link_in(world: Path, seed: int) -> ModLink:
    """The link of a mod, as it was written when it was shared."""
    return links.link_in((world / f"link{seed}").read_text())
