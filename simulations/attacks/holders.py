"""Attackers: holders of a mod that are the real node except for how they serve it.

Each stands in for a link's Uploader. It has the mod and knows what it is asked for; what it owes
comes never, too late, byte by byte, wrong, or is far more than the mod has.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar

from node.content.ports import LinkPort
from node.content.vault.vault import Vault
from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentFrame, ContentRequest
from protocol.content.manifests.manifest import decode_manifest
from protocol.errors import LinkClosed

DRIP_S = 8.0
"""Between two bytes of one that drips: below the 10 s after which silence was noticed."""
_JUNK_PIECE_BYTES = 2**15


class HostileHolder:
    """Serves everything as asked; each attacker changes one step. Same life as an Uploader."""

    def __init__(self, link: LinkPort, vault: Vault) -> None:
        self._link = link
        self._vault = vault
        self._mods: dict[int, bytes] = {}
        self._requests: asyncio.Queue[ContentRequest] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._steps: dict[type[ContentRequest], Callable[[Any], Coroutine[Any, Any, None]]] = {
            frames.Open: self.opened,
            frames.GetManifest: self.asked_for_manifest,
            frames.GetChunks: self.asked_for_chunks,
            frames.Cancel: self.cancelled,
            frames.Close: self.closed,
        }

    def receive(self, request: ContentRequest) -> None:
        """Take a request."""
        self._requests.put_nowait(request)

    async def run(self) -> None:
        """Answer until the link closes or the task is cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    request = await self._requests.get()
                    group.create_task(self._answer(request))
        finally:
            self._mods.clear()

    async def _answer(self, request: ContentRequest) -> None:
        if not isinstance(request, frames.Open) and request.stream not in self._mods:
            return  # asked for along with an Open that this one does not answer
        try:
            await self._steps[type(request)](request)
        except LinkClosed:
            return

    def send(self, frame: ContentFrame) -> None:
        """Send an answer; raises LinkClosed."""
        self._link.send(frames.encode_frame(frame))

    async def manifest(self, stream: int) -> bytes:
        """The mod's manifest."""
        data = await self._vault.get(self._mods[stream])
        assert data is not None
        return data

    async def opened(self, request: frames.Open) -> None:
        """Say that all of the mod is here."""
        self._mods[request.stream] = request.mod_id
        data = await self.manifest(request.stream)
        self.send(frames.Opened(request.stream, len(data), complete=True))

    async def asked_for_manifest(self, request: frames.GetManifest) -> None:
        """Send the manifest."""
        await self.send_manifest(request.stream, await self.manifest(request.stream))

    async def send_manifest(self, stream: int, data: bytes) -> None:
        """Send these bytes as the manifest, as fast as the link takes them."""
        for start in range(0, len(data), _JUNK_PIECE_BYTES):
            part = data[start : start + _JUNK_PIECE_BYTES]
            self.send(frames.ManifestPiece(stream, start, part))
            await self._link.drained()

    async def asked_for_chunks(self, request: frames.GetChunks) -> None:
        """Send the chunks."""
        for chunk in request.chunks:
            await self.send_chunk(request.stream, chunk, await self.chunk(request.stream, chunk))

    async def chunk(self, stream: int, chunk: int) -> bytes:
        """A sealed chunk of the mod."""
        found = await self._vault.get_chunks(self._mods[stream], (chunk,))
        assert found is not None
        assert found[0] is not None
        return found[0]

    async def send_chunk(self, stream: int, chunk: int, data: bytes) -> None:
        """Send these bytes as a chunk, as fast as the link takes them."""
        for start in range(0, len(data), _JUNK_PIECE_BYTES):
            part = data[start : start + _JUNK_PIECE_BYTES]
            self.send(frames.ChunkPiece(stream, chunk, start, part))
            await self._link.drained()

    async def cancelled(self, request: frames.Cancel) -> None:
        """Confirm."""
        self.send(frames.Cancelled(request.stream))

    async def closed(self, request: frames.Close) -> None:
        """Take no notice."""


class SilentAtOpen(HostileHolder):
    """Keeps its link and never answers that it has the mod."""

    async def opened(self, request: frames.Open) -> None:
        """Say nothing."""


class Refusing(HostileHolder):
    """Links, and says that it does not have the mod."""

    async def opened(self, request: frames.Open) -> None:
        """Refuse."""
        self.send(frames.Refused(request.stream, frames.NOT_HELD))


class HoldsNothing(HostileHolder):
    """Opens the stream, and never has a chunk."""

    async def opened(self, request: frames.Open) -> None:
        """Say that some of the mod is here."""
        self._mods[request.stream] = request.mod_id
        data = await self.manifest(request.stream)
        self.send(frames.Opened(request.stream, len(data), complete=False))


class SilentAtManifest(HostileHolder):
    """Has the mod, and never sends the manifest."""

    async def asked_for_manifest(self, request: frames.GetManifest) -> None:
        """Send nothing."""


class DrippingManifest(HostileHolder):
    """Sends a byte of the manifest at a time."""

    async def send_manifest(self, stream: int, data: bytes) -> None:
        """Send one byte, wait, and so on."""
        for start in range(len(data)):
            self.send(frames.ManifestPiece(stream, start, data[start : start + 1]))
            await asyncio.sleep(DRIP_S)


class EmptyHaves(HostileHolder):
    """Sends no manifest, but news in which nothing is new."""

    PAUSE_S: ClassVar = 5.0

    async def asked_for_manifest(self, request: frames.GetManifest) -> None:
        """Send empty bit fields for ever."""
        while True:
            await asyncio.sleep(self.PAUSE_S)
            self.send(frames.Have(request.stream, 0, b"\0"))


class FloodOfHaves(EmptyHaves):
    """The same, a hundred times a second."""

    PAUSE_S: ClassVar = 0.01


class LyingManifest(HostileHolder):
    """Sends other bytes of the manifest's length."""

    async def send_manifest(self, stream: int, data: bytes) -> None:
        """Send junk."""
        await super().send_manifest(stream, bytes(byte ^ 1 for byte in data))


class HugeManifest(HostileHolder):
    """Announces the longest manifest that there may be, and sends junk of that length."""

    async def opened(self, request: frames.Open) -> None:
        """Announce it."""
        self._mods[request.stream] = request.mod_id
        self.send(frames.Opened(request.stream, limits.MANIFEST_BYTES, complete=True))

    async def asked_for_manifest(self, request: frames.GetManifest) -> None:
        """Send junk as fast as the link takes it."""
        piece = bytes(_JUNK_PIECE_BYTES)
        for start in range(0, limits.MANIFEST_BYTES, _JUNK_PIECE_BYTES):
            self.send(frames.ManifestPiece(request.stream, start, piece))
            await self._link.drained()
            await asyncio.sleep(0)


class LateRefusing(HostileHolder):
    """Announces the least, so that it is asked first, and refuses just before it is late."""

    async def opened(self, request: frames.Open) -> None:
        """Announce one byte."""
        self._mods[request.stream] = request.mod_id
        self.send(frames.Opened(request.stream, 1, complete=True))

    async def asked_for_manifest(self, request: frames.GetManifest) -> None:
        """Wait, then refuse."""
        await asyncio.sleep(limits.LATE_S - 0.015)
        self.send(frames.Refused(request.stream, frames.NOT_HELD))


class SilentAtChunks(HostileHolder):
    """Sends the manifest, and never a chunk."""

    async def asked_for_chunks(self, request: frames.GetChunks) -> None:
        """Send nothing."""


class DrippingChunks(HostileHolder):
    """Sends a byte of a chunk at a time."""

    async def send_chunk(self, stream: int, chunk: int, data: bytes) -> None:
        """Send one byte, wait, and so on."""
        for start in range(len(data)):
            self.send(frames.ChunkPiece(stream, chunk, start, data[start : start + 1]))
            await asyncio.sleep(DRIP_S)


class HaltingChunks(HostileHolder):
    """Sends each first chunk of a request but for its last byte."""

    async def send_chunk(self, stream: int, chunk: int, data: bytes) -> None:
        """Stop before the end."""
        await super().send_chunk(stream, chunk, data[:-1])
        await asyncio.Event().wait()


class SlowChunks(HostileHolder):
    """Sends good chunks, each just before it would be missed."""

    async def send_chunk(self, stream: int, chunk: int, data: bytes) -> None:
        """Wait, then send."""
        await asyncio.sleep(0.45)
        await super().send_chunk(stream, chunk, data)


class LyingChunks(HostileHolder):
    """Sends other bytes of each chunk's length."""

    async def send_chunk(self, stream: int, chunk: int, data: bytes) -> None:
        """Send junk."""
        junk = hashlib.sha256(data).digest() * (len(data) // 32 + 1)
        await super().send_chunk(stream, chunk, junk[: len(data)])


class LaterLyingChunks(LyingChunks):
    """Sends one good chunk, and then others of the chunks' lengths."""

    _has_sent = False

    async def send_chunk(self, stream: int, chunk: int, data: bytes) -> None:
        """Send what was asked for once."""
        if self._has_sent:
            await super().send_chunk(stream, chunk, data)
        else:
            self._has_sent = True
            await HostileHolder.send_chunk(self, stream, chunk, data)


class OneChunk(HostileHolder):
    """Sends one good chunk, and then nothing."""

    _has_sent = False

    async def send_chunk(self, stream: int, chunk: int, data: bytes) -> None:
        """Send what was asked for once."""
        if not self._has_sent:
            self._has_sent = True
            await super().send_chunk(stream, chunk, data)


class TricklingChunks(HostileHolder):
    """Sends the smallest chunk that it owes just before it gives its place, and so on for ever."""

    FIRST_S: ClassVar = limits.HOLDER_PROOF_S - 0.6
    NEXT_S: ClassVar = limits.STALL_S - 2.5

    def __init__(self, link: LinkPort, vault: Vault) -> None:
        super().__init__(link, vault)
        self._owed: dict[tuple[int, int], None] = {}
        self._lengths: Sequence[int] = ()
        self._is_sending = False

    async def asked_for_chunks(self, request: frames.GetChunks) -> None:
        """Note them; send one now and then."""
        self._owed.update(((request.stream, chunk), None) for chunk in request.chunks)
        if self._is_sending:
            return
        self._is_sending = True
        if not self._lengths:
            manifest = decode_manifest(await self.manifest(request.stream))
            self._lengths = manifest.sealed_lengths
            await asyncio.sleep(self.FIRST_S)
        while self._owed:
            stream, chunk = min(self._owed, key=lambda owed: self._lengths[owed[1]])
            await self.send_chunk(stream, chunk, await self.chunk(stream, chunk))
            self._owed.pop((stream, chunk), None)
            await asyncio.sleep(self.NEXT_S)
        self._is_sending = False

    async def cancelled(self, request: frames.Cancel) -> None:
        """Owe it no more."""
        self._owed = {owed: None for owed in self._owed if owed[0] != request.stream}
        await super().cancelled(request)


class MissingChunks(HostileHolder):
    """Says that it has everything, and of whatever it is asked for that it does not have it."""

    async def asked_for_chunks(self, request: frames.GetChunks) -> None:
        """Send nothing of it."""
        self.send(frames.Missing(request.stream, request.chunks))


KINDS: tuple[type[HostileHolder], ...] = (
    *(SilentAtOpen, SilentAtManifest, DrippingManifest, EmptyHaves, FloodOfHaves, LyingManifest),
    *(HugeManifest, LateRefusing, SilentAtChunks, DrippingChunks, HaltingChunks, SlowChunks),
    *(LyingChunks, LaterLyingChunks, OneChunk, TricklingChunks, MissingChunks),
)
"""Every kind of bad holder but those that say they have a part: `partial_holders`."""


MakeHolder = Callable[[LinkPort, Vault], HostileHolder]
"""A kind of bad holder, or what chooses one for each link."""


class HostileUploaders:
    """Makes the Uploader of each link: a hostile one where the vault is an attacker's."""

    def __init__(self, honest: Callable[..., Any]) -> None:
        self._honest = honest
        self._hostile: dict[Vault, tuple[MakeHolder, Vault]] = {}

    def turn(self, vault: Vault, kind: MakeHolder, has_all: Vault) -> None:
        """The node of `vault` is an attacker from now on, and has the mods of another vault."""
        self._hostile[vault] = kind, has_all

    def __call__(self, link: LinkPort, vault: Vault, *rest: Any) -> Any:
        """The serving side of a link."""
        if vault not in self._hostile:
            return self._honest(link, vault, *rest)
        kind, has_all = self._hostile[vault]
        return kind(link, has_all)
