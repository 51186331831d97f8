"""Which lineage a folder's next version belongs to, and what its publisher has to sign it with."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from node.content.publish import walk
from node.content.vault.stored_mod import Lineage
from node.content.vault.tables.vault_tables import TableChange, VaultTables
from node.content.vault.vault import Vault
from node.environment import Environment
from node.files import check_text
from protocol import limits
from protocol.content import file_paths, sealing
from protocol.content.file_paths import quoted
from protocol.content.lineage.keys import LineageKeys, find_lineage_seed
from protocol.content.manifests.contents import VersionKeys
from protocol.errors import BadInput, NameTaken
from protocol.identity import Identity


@dataclass(frozen=True, slots=True)
class NewestVersion:
    """The newest version of a lineage that is known."""

    version: int
    keys: VersionKeys


FindNewest = Callable[[Lineage], Awaitable[NewestVersion | None]]


async def unknown_elsewhere(_: Lineage) -> None:
    """A FindNewest for a node without a network."""


class OwnLineages:
    """The lineages that this node publishes."""

    def __init__(
        self,
        vault: Vault,
        environment: Environment,
        identity: Identity,
        puzzle_bits: int = limits.PUZZLE_BITS,
        find_newest: FindNewest = unknown_elsewhere,
    ) -> None:
        """`find_newest`: whether another machine with the lineage's key has gone on with it."""
        self._vault = vault
        self._environment = environment
        self._identity = identity
        self._puzzle_bits = puzzle_bits
        self._find_newest = find_newest
        self._publishing: dict[int, asyncio.Lock] = {}

    async def choose(self, path: Path, name: str | None, *, continues: bool) -> Lineage:
        """The lineage that `path`, a real path, is a version of; it begins if there is none.

        A lineage goes on with the folder that it was made of; with another one only if a person
        says that it `continues` the lineage of that name, as its followers' files will be replaced.
        Without a name it is that of the folder, or the folder's own. Raises NameTaken, BadInput,
        UnsafePath, DiskError.
        """
        check_text(path, "cannot be shared", "Rename it, or share a copy under another name.")
        if name is None:
            of_path = await self._vault.recall(lambda tables: tables.lineages.of_path(str(path)))
            if len(of_path) > 1:
                names = ", ".join(quoted(one.name) for one in of_path)
                raise BadInput(f"{path} was shared as several mods: name one with --name: {names}")
            if of_path:
                return of_path[0]
            name = await asyncio.get_running_loop().run_in_executor(None, walk.name_of, path)
        name = checked_name(name)
        known = await self._vault.recall(lambda tables: tables.lineages.named(name))
        if known is None and continues:
            raise BadInput(f"no mod {quoted(name)} was shared from this home, which --as names")
        if known is not None and not continues:
            _check_made_of(known, path)
        return known or await self._begin(name)

    async def _begin(self, name: str) -> Lineage:
        """A lineage of this name, which another share may have begun meanwhile."""
        secret = self._environment.rng.randbytes(sealing.AES_KEY_BYTES)

        def begin(tables: VaultTables) -> Lineage:
            known = tables.lineages.named(name)
            return known or Lineage(tables.lineages.add(name, secret), name, secret, None, None)

        return await self._vault.record(begin)

    def publishing(self, lineage: Lineage) -> asyncio.Lock:
        """Held while a version of a lineage is made: versions follow one another."""
        return self._publishing.setdefault(lineage.number, asyncio.Lock())

    async def latest(self, lineage: Lineage, path: Path, *, continues: bool) -> Lineage:
        """The same lineage as it is now, here or where another machine has gone on with it.

        Raises NameTaken where it is another folder's by now, as of `choose`.
        """
        found = await self._vault.recall(lambda tables: tables.lineages.named(lineage.name))
        lineage = found or lineage
        if not continues:
            _check_made_of(lineage, path)
        newer = await self._find_newest(lineage)
        if newer is None or newer.version <= lineage.version:
            return lineage
        return replace(lineage, version=newer.version, head=newer.keys, previous=None)

    async def keys(self, lineage: Lineage) -> LineageKeys:
        """The keys of a lineage, which take some seconds to make, once."""
        if lineage.seed is not None:
            return lineage.keys
        find = partial(find_lineage_seed, self._identity, lineage.secret, self._puzzle_bits)
        seed = await asyncio.get_running_loop().run_in_executor(None, find)
        await self._vault.record(lambda tables: tables.lineages.give_seed(lineage.number, seed))
        return LineageKeys(lineage.secret, seed)

    def published(
        self, lineage: Lineage, path: Path, version: int, head: VersionKeys
    ) -> TableChange:
        """The change of a vault by which a version was made: the next one comes after it."""
        is_new = lineage.head != head
        previous = lineage.head if is_new else lineage.previous
        return lambda tables: tables.lineages.publish(
            lineage.number, str(path), version, head, previous
        )


def _check_made_of(lineage: Lineage, path: Path) -> None:
    """Raise NameTaken where a lineage has a version that was made of another folder than `path`."""
    if lineage.version and lineage.path != str(path):
        name, made_of = quoted(lineage.name), lineage.path or "another machine"
        raise NameTaken(
            f"the mod {name} was shared from {made_of}, and this is {path}: all that"
            " follow it would get this instead",
            advice=f"With --as {name} this is its next version; with --name it is a "
            "mod of its own.",
        )


def checked_name(name: str) -> str:
    """The name of a mod in the one form that is compared; raises UnsafePath."""
    name = file_paths.normalized(name)
    file_paths.check_text(name, "the mod's name", limits.MOD_NAME_BYTES)
    return file_paths.check_name(name)


def real_path(path: Path) -> Path:
    """Where a folder or file really is."""
    return Path(os.path.realpath(path))
