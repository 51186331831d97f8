"""Attackers: holders that say they have a part of a mod, as getters do that fetch it as well.

Of such a one less is known: what it holds it tells chunk by chunk, its pace is that of a line that
many share, and it names others to be called.
"""

import asyncio
import random
from typing import ClassVar

from node.content.ports import LinkPort
from node.content.vault.vault import Vault
from protocol import limits
from protocol.content import frames
from protocol.content.manifests.manifest import decode_manifest
from protocol.identity import PeerId, peer_id_of
from simulations.attacks.holders import HostileHolder

_KEY_BYTES = 32


class PartialHolder(HostileHolder):
    """Says that it has a part, and then that this part is each single chunk."""

    async def opened(self, request: frames.Open) -> None:
        """Say that some of the mod is here, and tell of every chunk."""
        self._mods[request.stream] = request.mod_id
        data = await self.manifest(request.stream)
        self.send(frames.Opened(request.stream, len(data), complete=False))
        count = len(decode_manifest(data).addresses)
        whole, rest = divmod(count, 8)
        bits = b"\xff" * whole + (bytes([0xFF00 >> rest & 0xFF]) if rest else b"")
        self.send(frames.Have(request.stream, 0, bits))


class ClaimsAndLacks(PartialHolder):
    """Has none of the chunks of which it told."""

    async def asked_for_chunks(self, request: frames.GetChunks) -> None:
        """Send nothing of it."""
        self.send(frames.Missing(request.stream, request.chunks))


class EverSlower(PartialHolder):
    """Sends good chunks, each later than the one before, so that its own pace excuses it."""

    FIRST_S: ClassVar = 0.2
    TIMES: ClassVar = limits.LATE_PACE - 0.5

    def __init__(self, link: LinkPort, vault: Vault) -> None:
        super().__init__(link, vault)
        self._sent = 0

    async def send_chunk(self, stream: int, chunk: int, data: bytes) -> None:
        """Wait, then send."""
        pause_s = min(self.FIRST_S * self.TIMES**self._sent, limits.STALL_S)
        self._sent += 1
        await asyncio.sleep(pause_s)
        await super().send_chunk(stream, chunk, data)


class NamesFakes(PartialHolder):
    """Names peers that do not exist as often as it may, and sends nothing else."""

    def __init__(self, link: LinkPort, vault: Vault) -> None:
        super().__init__(link, vault)
        self._rng = random.Random(link.peer_id)

    async def opened(self, request: frames.Open) -> None:
        """Name as many as one frame takes, again and again."""
        await super().opened(request)
        pauses = int(limits.PEERS_FRAMES_BURST) - 1
        for _ in range(pauses):
            self._name(request.stream)
        while request.stream in self._mods:
            await asyncio.sleep(1.1 / limits.PEERS_FRAMES_PER_SECOND)
            self._name(request.stream)

    def _name(self, stream: int) -> None:
        fakes = [peer_id_of(self._rng.randbytes(_KEY_BYTES)) for _ in range(limits.PEERS_NAMED)]
        self.send(frames.Peers(stream, tuple(PeerId(fake) for fake in fakes)))

    async def asked_for_chunks(self, request: frames.GetChunks) -> None:
        """Send nothing."""


PARTIAL_KINDS: tuple[type[PartialHolder], ...] = (ClaimsAndLacks, EverSlower, NamesFakes)
"""Every kind of bad holder that says it has a part."""
