"""What a download takes of patches: the smallest that leads from a version that is here.

Whatever fails of it, the chunks that are missing then are fetched as ever.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from node.content.download.fetch import TakeChunks
from node.content.opened_mods import OpenedMod, OpenedMods
from node.content.patching.applying import PatchApplying
from node.content.room import RoomBook
from node.content.vault.vault import Vault
from protocol import limits
from protocol.content.link import ModLink
from protocol.content.manifests.contents import PatchOffer
from protocol.content.patching.part import PATCH_FILE
from protocol.errors import BadContent, ModswarmError
from protocol.texts.amounts import size_text

_log = logging.getLogger(__name__)


class PatchTaker:
    """A ChunkTaker of a patch: no other mod may come in its place, nor a larger one."""

    def __init__(self, offer: PatchOffer, lineage_key: bytes, version: int) -> None:
        self._offer = offer
        self._lineage_key = lineage_key
        self._version = version

    async def accept(self, opened: OpenedMod) -> None:
        """Raise BadContent for what is not that patch."""
        manifest, contents = opened
        if manifest.lineage_key != self._lineage_key:
            raise BadContent("it is of another lineage")
        if contents is None or contents.patch_of != self._offer.base:
            raise BadContent("it is a mod that changes no version that is here")
        if contents.version != self._version:
            raise BadContent("it leads to another version")
        if manifest.sealed_bytes != self._offer.sealed_bytes:
            raise BadContent("it is not as long as the version says")
        if [file.path for file in contents.files] != [PATCH_FILE]:
            raise BadContent("it is not the one file of a patch")

    def take(self, chunks: Sequence[tuple[int, bytes]]) -> None:
        """They are in the vault."""


DownloadPatch = Callable[[ModLink, PatchTaker], Awaitable[None]]
"""Fetches a patch into the vault; raises as `Downloader.download`."""


class Patches:
    """Makes missing chunks by patches. `opened` has manifests that are open."""

    def __init__(self, vault: Vault, opened: OpenedMods, room: RoomBook) -> None:
        self._vault = vault
        self._opened = opened
        self._room = room

    async def apply(
        self,
        new: OpenedMod,
        missing: Sequence[int],
        download: DownloadPatch,
        take: TakeChunks,
    ) -> bool:
        """Make what is `missing` by a patch, if one pays; whether something was made.

        Cancelled, it leaves in the vault what a download leaves that is cut short. Raises nothing
        else.
        """
        lengths = new.manifest.sealed_lengths
        size = sum(lengths[number] for number in missing)
        found = await self._cheapest(new, size)
        if found is None:
            return False
        offer, base = found
        try:
            async with self._used(offer, size):
                return await self._applied(offer, base, new, missing, download, take)
        except ModswarmError as error:
            _log.warning(
                "the patch to version %d of %s is of no use, so %s are fetched as chunks: %s",
                *(new.contents.version if new.contents else 0, _name(new)),
                *(size_text(size), error),
            )
            return False

    async def _applied(
        self,
        offer: PatchOffer,
        base: OpenedMod,
        new: OpenedMod,
        missing: Sequence[int],
        download: DownloadPatch,
        take: TakeChunks,
    ) -> bool:
        link = ModLink(offer.patch.mod_id, offer.patch.content_key)
        version = new.contents.version if new.contents else 0
        await download(link, PatchTaker(offer, new.manifest.lineage_key, version))
        patch = await self._open(link)
        if patch is None:
            return False
        applying = PatchApplying(self._vault, base, new, missing, take)
        try:
            await applying.run(patch)
        except BadContent:
            await self._vault.remove_mod(link.mod_id)  # it shall not be served
            raise
        finally:
            _log.info(
                "a patch of %s made %d of %d missing chunks of %s, and %d wrong ones",
                *(size_text(offer.sealed_bytes), applying.chunks_made, len(missing)),
                *(_name(new), applying.chunks_wrong),
            )
        return applying.chunks_made > 0

    @contextlib.asynccontextmanager
    async def _used(self, offer: PatchOffer, size: int) -> AsyncIterator[None]:
        """While inside, both mods stay, and there is room for so many bytes of chunks."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._vault.using(offer.base))
            stack.enter_context(self._vault.using(offer.patch.mod_id))
            claim = await self._room.claim_freeing(self._vault.folder, size)
            stack.callback(claim.release)
            yield

    async def _cheapest(self, new: OpenedMod, size: int) -> tuple[PatchOffer, OpenedMod] | None:
        """The smallest patch that costs less than `size` bytes of chunks, and its base."""
        offers = () if new.contents is None else new.contents.patches
        for offer in sorted(offers, key=lambda one: one.sealed_bytes):
            if offer.sealed_bytes + limits.PATCH_WORTH_BYTES > size:
                return None
            base = await self._open(ModLink(offer.base))
            if base is not None and base.manifest.lineage_key == new.manifest.lineage_key:
                return offer, base
        return None

    async def _open(self, link: ModLink) -> OpenedMod | None:
        """A mod of which the vault has every chunk and the key."""
        stored = await self._vault.mod(link.mod_id)
        if stored is None or stored.content_key is None or await self._vault.missing(link.mod_id):
            return None
        data = await self._vault.get(link.mod_id)
        if data is None:
            return None
        return await self._opened.open(link.mod_id, data, stored.content_key)


def _name(new: OpenedMod) -> str:
    return new.contents.name if new.contents else ""
