"""Values of the vault: mods, lineages, and the chunks of a lineage."""

from dataclasses import dataclass, field

from protocol.content.lineage.keys import LineageKeys
from protocol.content.link import ModLink
from protocol.content.manifests.contents import VersionKeys

Hash = bytes
PublicKey = bytes
"""32 bytes each."""


@dataclass(frozen=True, slots=True)
class StoredMod:
    """A mod in the vault, complete or not. Without its content key it is only served to others."""

    mod_id: bytes
    content_key: bytes | None = field(repr=False)
    name: str
    version: int
    """Within its lineage; 0 if that is not known."""
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
    lineage_key: PublicKey | None = None
    """None of a mod that an earlier format of the vault has."""
    patch_of: Hash | None = None
    """Of a patch: the mod id of the version that it changes."""

    def is_version_of(self, lineage_key: PublicKey) -> bool:
        """Whether it is a version of a lineage, and no patch."""
        return self.lineage_key == lineage_key and self.patch_of is None

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
    """By a person, or as it was made here."""
    is_in_use: bool = False
    is_cached: bool = False
    """Here for others only: without its content key."""
    is_followed: bool = False
    """A version of what is followed: it stays for that, and no longer."""
    is_asked_for: bool = False
    """A person pinned it: it is no older version that may be tidied away."""

    @property
    def may_go(self) -> bool:
        """Whether nothing but room speaks for keeping it."""
        return not (self.is_pinned or self.is_followed or self.is_in_use)


@dataclass(frozen=True, slots=True)
class Lineage:
    """A lineage of this node's."""

    number: int
    name: str
    secret: bytes = field(repr=False)
    seed: bytes | None = field(repr=False)
    """None until it was found (`find_lineage_seed`)."""
    path: str | None
    """The real path that its newest version was made of; None if that is not known."""
    version: int = 0
    """Its newest version; 0: there is none."""
    head: VersionKeys | None = None
    """The newest version's."""
    previous: VersionKeys | None = None
    """Those of the version before it."""
    kept: int = 0
    """How many of its versions the vault keeps; 0: all."""

    @property
    def keys(self) -> LineageKeys:
        """Only of one whose seed was found."""
        assert self.seed is not None
        return LineageKeys(self.secret, self.seed)


@dataclass(frozen=True, slots=True)
class LineageChunk:
    """A chunk that a lineage has sealed, found again by the hash of its plaintext.

    `plaintext_hash` is that of `RawBody`.
    """

    plaintext_hash: bytes
    address: bytes
    key: bytes = field(repr=False)
    sealed_length: int
