"""What people in a simulated world do with mods: one shares a file, another gets it."""

from pathlib import Path

from node.answers.mods import GetResult
from protocol.content.link import ModLink
from simulations.residents.whole import WholeResident

FILE = "content.bin"
"""The only file of each mod."""


async def share(person: WholeResident, folder: Path, data: bytes) -> ModLink:
    """Let a person share a mod of one file, which is made in `folder` with its parents."""
    mod = folder / "mod"
    mod.mkdir(parents=True)
    (mod / FILE).write_bytes(data)
    with person.host.running():
        return (await person.running_node.sharing.share(mod, f"mod {folder.name}")).link


async def get(person: WholeResident, link: ModLink, target: Path) -> tuple[GetResult, float]:
    """What a download tells, and its seconds."""
    loop = person.world.loop
    started = loop.time()
    with person.host.running():
        getting = person.host.create_task(person.running_node.sharing.get(link, target))
    return await getting, loop.time() - started
