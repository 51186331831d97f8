"""The chunks of a mod that is being published: little memory for each, as a mod has a million."""

from array import array
from collections.abc import Iterator, Sequence

from node.content.vault.stored_mod import LineageChunk
from protocol import limits
from protocol.content import sealing
from protocol.content.manifests import manifest
from protocol.content.manifests.contents import Contents, ModFile
from protocol.content.packed import PackedBytes
from protocol.content.sealing import RawBody

_ADDRESS_BYTES = 32


class ChunkTable:
    """The unique chunks, numbered by first appearance, and their order in the byte stream."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        """By `RawBody.digest`."""
        self._addresses = bytearray()
        self._keys = bytearray()
        self._lengths = array("I")
        self._sealed_lengths = array("I")
        self._order = array("I")

    @property
    def unique(self) -> int:
        """How many unique chunks there are."""
        return len(self._lengths)

    @property
    def total(self) -> int:
        """How many chunks the byte stream has."""
        return len(self._order)

    def has(self, raw: RawBody) -> bool:
        """Whether this chunk has been before."""
        return raw.digest in self._numbers

    def append(self, raw: RawBody, sealed: LineageChunk | None) -> None:
        """The next chunk of the byte stream, and as what it is sealed if it is a new one."""
        number = self._numbers.setdefault(raw.digest, self.unique)
        self._order.append(number)
        if number < len(self._lengths):
            return
        assert sealed is not None
        self._addresses += sealed.address
        self._keys += sealed.key
        self._lengths.append(raw.plaintext_bytes)
        self._sealed_lengths.append(sealed.sealed_length)

    def cannot_end_well(self, bytes_left: int) -> bool:
        """Whether no manifest lists these chunks and the fewest that so many bytes make.

        Certain as early as it can be.
        """
        left = -(-bytes_left // limits.CHUNK_BYTES_MAX)
        table = self.unique * manifest.CHUNK_BYTES_LEAST
        return self.total + left > limits.MANIFEST_CHUNKS or table > limits.MANIFEST_BYTES

    def rows(self) -> Iterator[tuple[bytes, int]]:
        """Address and sealed length of each unique chunk."""
        addresses = PackedBytes(bytes(self._addresses), _ADDRESS_BYTES)
        return zip(addresses, self._sealed_lengths, strict=True)

    def contents(self, name: str, version: int, files: Sequence[ModFile]) -> Contents:
        """The sealed part of the mod's manifest; no chunk comes any more."""
        self._numbers.clear()  # these take the most of all
        keys = PackedBytes(bytes(self._keys), sealing.AES_KEY_BYTES)
        return Contents(name, version, tuple(files), keys, self._lengths, self._order)
