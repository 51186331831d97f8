"""What a node answers about versions, for faces: its answers are attributes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.answers.follows import (
    FollowChange,
    FollowStatus,
    FollowView,
    VersionList,
    VersionView,
)
from node.answers.lineages import ExportedLineage, LineageView
from node.content.download.bounds import SizeBound
from node.content.progress import Progress, ReportProgress
from protocol.content.link import LineageLink, ModLink

LINEAGE = LineageLink(bytes(range(32)), b"r" * 32)
VERSION = ModLink(b"v" * 32, b"k" * 32)
FOLLOW = FollowView(
    lineage=LINEAGE.lineage_key,
    name="hats",
    path="/games/hats",
    version=2,
    newest=3,
    status=FollowStatus.ASKS,
    message="version 3 takes 5.0 GB of the disk, more than twice the 1.0 GB of version 2",
    waiting_version=3,
    expired=False,
    forked=False,
)
OWN = LineageView(
    *("hats", LINEAGE.lineage_key, LINEAGE, "/mods/hats", 3),
    kept=0,
    expires=1.8e9,
    forked=False,
)


class FakeFollowing:
    """A Following."""

    def __init__(self, answer: Callable[..., None]) -> None:
        self._answer = answer
        self.followed: list[FollowView] = [FOLLOW]
        self.expired = self.forked = False
        self.unknown_before, self.message = 0, ""
        self.named: tuple[str, ...] = ()

    async def follow(
        self,
        link: LineageLink,
        target: Path,
        *,
        refuses: bool = False,
        max_bytes: int = 0,
        bound: SizeBound,
        progress: ReportProgress,
    ) -> FollowView:
        self._answer("follow", link, target, refuses, max_bytes, bound)
        progress(Progress("files", bytes_total=10, bytes_done=5))
        await asyncio.sleep(0)
        return FOLLOW

    def views(self) -> tuple[FollowView, ...]:
        self._answer("follows")
        return tuple(self.followed)

    async def unfollow(self, lineage: bytes) -> FollowView:
        self._answer("unfollow", lineage)
        return FOLLOW

    async def agree(self, lineage: bytes) -> FollowView:
        self._answer("agree", lineage)
        return FOLLOW

    async def resume(self, lineage: bytes) -> FollowView:
        self._answer("resume", lineage)
        return FOLLOW

    async def back(self, lineage: bytes) -> FollowChange:
        self._answer("back", lineage)
        return FollowChange(FOLLOW, 3, 1, ("a.txt.local",))

    async def versions(self, link: LineageLink) -> VersionList:
        self._answer("versions", link)
        one = VersionView(3, VERSION.mod_id, VERSION, "hats", 2, 10, here=True)
        unknown = self.unknown_before, self.message
        return VersionList(link, (one,), *unknown, self.expired, self.forked)

    async def origins(self, link: LineageLink) -> tuple[str, ...]:
        self._answer("origins", link)
        return self.named

    async def resolve(self, link: LineageLink) -> ModLink:
        self._answer("resolve", link)
        return VERSION


class FakeVersions:
    """An OwnVersions."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self._answer = answer
        self.taken_over = OWN

    async def views(self) -> tuple[LineageView, ...]:
        self._answer("lineages")
        return (OWN,)

    async def export(self, name: str) -> ExportedLineage:
        self._answer("export", name)
        return ExportedLineage(name, "modswarm-lineage:abc")

    async def take_over(self, text: str) -> LineageView:
        self._answer("import", text)
        return self.taken_over
