"""Where one `get` writes: what can be known of the place is known before the first chunk comes."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from node.content.assemble.assembler import Assembled, Assembler
from node.content.assemble.growing import GrowingFiles
from node.content.opened_mods import OpenedMod
from node.content.progress import ReportProgress
from node.content.room import RoomBook
from protocol.content.file_paths import check_name
from protocol.errors import LocalError, NotFound, TargetExists, UnsafePath
from protocol.identity import base32_text


class TargetPlace:
    """Where one `get` writes: claimed for it, and with room, before the first chunk comes.

    What is claimed is given back with `claims`. `again`: an earlier run may have written it, and
    was broken off before it could say so; the same mod in this place is then what is to be there.
    """

    def __init__(
        self,
        assembler: Assembler,
        room: RoomBook,
        claims: contextlib.AsyncExitStack,
        target: Path | None,
        into: Path,
        *,
        again: bool = False,
    ) -> None:
        self._assembler = assembler
        self._room = room
        self._claims = claims
        self._target = target
        self._into = into
        self._again = again
        self._taken: TargetExists | None = None
        """Why nothing can be written here, if it is not there already."""
        self._opened: OpenedMod | None = None
        self._growing: GrowingFiles | None = None
        self.folder = target or into
        """The real path, once it is claimed."""

    async def prepare(self) -> None:
        """Check all that is known before the manifest; raises as `Assembler.claiming`."""
        if self._target is None:
            await self._assembler.check_parent(self._into)
            return
        try:
            self.folder = await self._claims.enter_async_context(
                self._assembler.claiming(self._target)
            )
        except TargetExists as error:
            if not self._again:
                raise
            self._taken, self.folder = error, self._target

    async def accept(self, opened: OpenedMod) -> None:
        """Claim the place of this mod and room for it, once; raises as `prepare`."""
        contents = opened.contents
        if contents is None or self._growing is not None:
            return
        if self._target is None:
            self._target = self._into / _folder_name(contents.name, opened.manifest.mod_id)
            await self.prepare()
        self._opened = opened
        if self._taken is not None:
            if not await self._assembler.may_be_written(opened, self.folder):
                raise self._taken
            return
        claim = await self._room.claim_freeing(self.folder, contents.disk_bytes)
        self._claims.callback(claim.release)

        def written(size: int) -> None:
            claim.shrink_to(contents.disk_bytes - size)

        self._growing = await self._claims.enter_async_context(
            self._assembler.growing(self.folder, contents, written)
        )

    def take(self, chunks: Sequence[tuple[int, bytes]]) -> None:
        """Chunks of the mod that the vault has now, by number: their bytes go into its files."""
        if self._growing is not None:
            self._growing.take(chunks)

    async def write(self, report: ReportProgress) -> Assembled:
        """Let the files appear; the vault has all of the mod. Raises as `Assembler.complete`."""
        if self._taken is not None and self._opened is not None:
            there = await self._assembler.written(self._opened, self.folder)
            if there is None:
                raise self._taken
            return there
        if self._growing is None or self._opened is None:
            raise NotFound("the vault does not have this mod's content key")
        try:
            return await self._assembler.complete(self._growing, self._opened, self.folder, report)
        except LocalError as error:
            error.add_note("all of the mod is in the vault, and the next get writes it from there")
            raise


def _folder_name(name: str, mod_id: bytes) -> str:
    """The name of the folder for a mod, which its publisher may have named anything."""
    try:
        return check_name(name)
    except UnsafePath:
        return f"mod-{base32_text(mod_id)[:12]}"
