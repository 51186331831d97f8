"""The chunks of a mod that is being published: little memory for each, as a mod has a million."""

from array import array
from collections.abc import Sequence

from node.content.publish.reading import FoundFile
from node.content.vault.stored_mod import LineageChunk
from protocol import limits
from protocol.content import manifest, sealing
from protocol.content.manifest import Contents, Manifest, ModFile
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

    def manifest(
        self,
        name: str,
        version: str,
        files: Sequence[FoundFile],
        empty_folders: tuple[str, ...],
        lineage_secret: bytes,
    ) -> tuple[Manifest, bytes]:
        """The manifest and its content key; raises BadManifest for a mod that is too large."""
        contents = Contents(
            name,
            version,
            tuple(ModFile(file.path, file.size, file.executable) for file in files),
            PackedBytes(bytes(self._keys), sealing.AES_KEY_BYTES),
            self._lengths,
            self._order,
            empty_folders,
        )
        self._numbers.clear()  # no chunk comes any more, and these take the most of all
        addresses = PackedBytes(bytes(self._addresses), _ADDRESS_BYTES)
        table = zip(addresses, self._sealed_lengths, strict=True)
        return manifest.build_manifest(contents, table, lineage_secret)
