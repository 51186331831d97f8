"""Manifests that were opened: each is parsed once for a person's `get`, however often it is needed.

One with many names takes some seconds and 100 MB, so few are kept, and not for long.
"""

import asyncio
from typing import NamedTuple

from protocol import limits
from protocol.content.manifests import manifest as manifests
from protocol.content.manifests.contents import Contents
from protocol.content.manifests.manifest import Manifest


class OpenedMod(NamedTuple):
    """A manifest and its sealed part, which is None if the content key is unknown."""

    manifest: Manifest
    contents: Contents | None


class OpenedMods:
    """The mods that were opened last."""

    def __init__(self) -> None:
        self._kept: dict[tuple[bytes, bytes | None], OpenedMod] = {}
        self._timer: asyncio.TimerHandle | None = None

    def known(self, mod_id: bytes, content_key: bytes | None) -> OpenedMod | None:
        """A mod that was opened lately, under this key."""
        return self._kept.get((mod_id, content_key))

    async def open(self, mod_id: bytes, data: bytes, content_key: bytes | None) -> OpenedMod:
        """Read the manifest `data` of a mod, in a thread; raises BadManifest, UnknownVersion."""
        known = self.known(mod_id, content_key)
        if known is None:
            loop = asyncio.get_running_loop()
            known = await loop.run_in_executor(None, _read, data, content_key)
        self._kept.pop((mod_id, content_key), None)
        self._kept[mod_id, content_key] = known
        while len(self._kept) > limits.MODS_OPENED:
            del self._kept[next(iter(self._kept))]
        self._forget_later()
        return known

    def close(self) -> None:
        """Forget all of them."""
        self._kept.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _forget_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(limits.MODS_OPENED_S, self._kept.clear)


def _read(data: bytes, content_key: bytes | None) -> OpenedMod:
    manifest = manifests.decode_manifest(data)
    if content_key is None:
        return OpenedMod(manifest, None)
    return OpenedMod(manifest, manifests.open_contents(manifest, content_key))
