"""What a getter fetches of a later version where it has the first, beside a goal and libtorrent."""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.content.vault.vault import Vault
from protocol.content import link as links
from scripts.benchmarks.content.ours import Node
from scripts.benchmarks.content.places import LOOPBACK, Place
from scripts.benchmarks.content.rivals import torrents
from scripts.benchmarks.content.versions import mods
from scripts.benchmarks.content.versions.mods import Tree, Update

_SLACK_BYTES = 64 * 2**10
_FILES = 300
_PLACES = 5
_SHARE = 0.01
_TEXTURE_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class Case:
    """An update, and how a version is written to a folder."""

    update: Callable[[Tree], Update]
    write: Callable[[Tree, Path], None]
    goal: Callable[[Update], float]
    """Bytes that may be fetched of it, besides its manifest and 64 KiB."""


def _five_files(first: Tree) -> Update:
    size = sum(map(len, first.values()))
    return mods.in_files(first, _PLACES, int(size * _SHARE) // _PLACES)


def _texture(first: Tree) -> Update:
    return mods.in_a_texture(first, _TEXTURE_SHARE)


CASES = {
    "1 % in 5 files": Case(
        _five_files, mods.write_folder, lambda update: 1.5 * update.packed_bytes
    ),
    "1 % in 5 files, zipped": Case(_five_files, mods.write_archive, Update.members_bytes),
    "3 % of a texture": Case(_texture, mods.write_folder, lambda update: 2 * update.packed_bytes),
    "3 % of a texture, .pmp": Case(_texture, mods.write_archive, Update.members_bytes),
}
"""By name. What only a patch can reach, real packages and followers' figures come beside these."""


class Updates:
    """Runs the cases on two nodes; each is told once the nodes have ended, as it reads a vault."""

    def __init__(self, sharer: Node, getter: Node, folder: Path, size: int) -> None:
        self._sharer = sharer
        self._getter = getter
        self._folder = folder
        self._first = mods.tree(size, _FILES)
        self._ran: dict[str, tuple[str, dict[str, Any], float]] = {}
        folder.mkdir()

    def run(self) -> None:
        """Share, get, change and get again, for each case; libtorrent beside it."""
        for number, (name, case) in enumerate(CASES.items()):
            self._run(name, case, self._folder / f"{number}")

    def _run(self, name: str, case: Case, folder: Path) -> None:
        mod = folder / f"mod {name.replace('%', 'percent')}"
        case.write(self._first, mod)
        got = self._getter.fetch(self._sharer.share(mod), folder / "got-first")
        old = folder / "old" / mod.name
        shutil.copytree(mod, old)
        update = case.update(self._first)
        case.write(update.tree, mod)
        link = self._sharer.share(mod)
        got = got if got.failure else self._getter.fetch(link, folder / "got-later")
        told: dict[str, Any] = {
            "files": len(update.tree),
            "changed_bytes": update.bytes,
            "changed_packed_bytes": update.packed_bytes,
            **({"failure": got.failure} if got.failure else {}),
            "bytes_fetched": got.told.get("bytes_fetched"),
        }
        if torrents.why_not() is None:
            fetched = _by_torrent(mod, old, folder)
            told["libtorrent"] = {
                "bytes_fetched": fetched,
                "fetched_over_changed": round(fetched / update.bytes, 2),
            }
        self._ran[name] = (link, told, case.goal(update))
        shutil.rmtree(folder)

    def told(self) -> dict[str, Any]:
        """The figures by case, once the sharer's process has ended."""
        manifests = asyncio.run(_manifests(self._sharer, [link for link, *_ in self._ran.values()]))
        return {
            name: _judged(told, manifest, goal + manifest + _SLACK_BYTES)
            for (name, (_, told, goal)), manifest in zip(self._ran.items(), manifests, strict=True)
        }


def _judged(told: dict[str, Any], manifest: int, goal: float) -> dict[str, Any]:
    fetched = told["bytes_fetched"]
    if fetched is None:
        return told
    return {
        **told,
        "manifest_bytes": manifest,
        "fetched_over_changed": round(fetched / told["changed_packed_bytes"], 2),
        "goal_bytes": round(goal),
        "fetched_over_goal": round(fetched / goal, 3),
        "met": fetched <= goal,
    }


async def _manifests(node: Node, shared: list[str]) -> list[int]:
    """The lengths of the manifests that these links name."""
    vault = await Vault.open(node.process.home / "vault")
    try:
        named = [link for link in map(links.parse, shared) if isinstance(link, links.ModLink)]
        return [len(await vault.get(link.mod_id) or b"") for link in named]
    finally:
        await vault.close()


def _by_torrent(mod: Path, old: Path, folder: Path) -> int:
    """The bytes that libtorrent fetches of a version 1 torrent over the files of the old one."""
    torrent = torrents.make(mod, folder)
    here = Place(LOOPBACK)
    seed, getter = torrents.Client(here, torrent), torrents.Client(here, torrent, old.parent)
    try:
        seed.wait()
        return getter.wait().get([seed]).bytes_fetched
    finally:
        getter.close()
        seed.close()
