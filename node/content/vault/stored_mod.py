"""Values of the vault: mods and the chunks of a lineage."""

from dataclasses import dataclass, field

from protocol.content.link import ModLink


@dataclass(frozen=True, slots=True)
class StoredMod:
    """A mod in the vault, complete or not. Without its content key it is only served to others."""

    mod_id: bytes
    content_key: bytes | None = field(repr=False)
    name: str
    version: str
    files: int
    bytes: int
    """Of all files together."""
    sealed_bytes: int
    """Of all unique chunks together."""
    chunks: int
    published: bool
    """Made here, not fetched."""
    added: float
    """In seconds since 1970: when it came, or when the last download of it was cut short."""

    @property
    def link(self) -> ModLink:
        """The link to pass on; it opens the mod if the content key is known."""
        return ModLink(self.mod_id, self.content_key)


@dataclass(frozen=True, slots=True)
class KeptMod:
    """A mod as eviction sees it."""

    number: int
    mod_id: bytes
    name: str
    bytes: int
    """The most that it takes: sealed, and its manifest."""
    chunks: int
    used: float
    """When it was last shared, fetched or served, in seconds since 1970; it may be older by an
    hour than it was."""
    is_pinned: bool
    is_in_use: bool = False
    is_cached: bool = False
    """Here for others only: without its content key."""


@dataclass(frozen=True, slots=True)
class LineageChunk:
    """A chunk that a lineage has sealed, found again by the hash of its plaintext.

    `plaintext_hash` is that of `RawBody`.
    """

    plaintext_hash: bytes
    address: bytes
    key: bytes = field(repr=False)
    sealed_length: int
