"""What all followers of a node work with, and what its vault keeps for them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from node.content.download.bounds import SizeBound
from node.content.download.patience import LookUpTime
from node.content.opened_mods import OpenedMod
from node.content.origins.origins import NamedOrigin
from node.content.progress import ReportProgress
from node.content.targets.updater import TargetUpdater
from node.content.vault.stored_follow import StoredFollow
from node.content.vault.vault import Vault
from node.environment import Environment
from node.following.chain import VersionChain
from node.following.turns import FollowTurns
from node.overlay.lineages.heard import HeardLineages
from node.overlay.lineages.reader import LineageReader
from protocol import limits
from protocol.content.link import ModLink


class Fetching(Protocol):
    """What a follower needs of the node's mods."""

    async def fetch(
        self,
        link: ModLink,
        progress: ReportProgress,
        bound: SizeBound,
        origins: Sequence[NamedOrigin],
        look_up: LookUpTime | None,
    ) -> OpenedMod:
        """Bring all of a mod into the vault, looked up not before `look_up`; raises as `get`."""

    async def remove(self, mod_id: bytes) -> bool:
        """Serve a mod no more and free its chunks; False if it is not here."""


@dataclass(frozen=True, slots=True)
class FollowParts:
    """What all followers of a node work with."""

    vault: Vault
    environment: Environment
    heard: HeardLineages
    reader: LineageReader
    chain: VersionChain
    fetching: Fetching
    targets: TargetUpdater
    wall: Callable[[], float]
    """The corrected clock's seconds."""
    join_outcome: Callable[[], Awaitable[bool]]
    """Whether this node has joined, once that is known or has taken long."""
    turns: FollowTurns = field(default_factory=FollowTurns)


async def keep_newest(parts: FollowParts, follow: StoredFollow) -> None:
    """Keep the newest versions in the vault, and of older ones what a person pinned.

    What a person fetches or a peer is sent is for the next time. Raises DiskError.
    """
    vault, key = parts.vault, follow.lineage_key
    mods = [one for one in await vault.mods() if one.lineage_key == key and not one.published]
    versions = sorted((one for one in mods if one.patch_of is None), key=lambda one: one.version)
    stays = {one.mod_id for one in versions[-limits.VERSIONS_KEPT :]} | {follow.mod_id}
    stays |= {one.mod_id for one in await vault.kept() if one.is_in_use or one.is_asked_for}
    gone = {one.mod_id for one in versions} - stays
    for mod in mods:
        if mod.mod_id in gone or mod.patch_of in gone:
            await parts.fetching.remove(mod.mod_id)
