"""Mods: listed, shared, fetched, removed."""

from dataclasses import dataclass
from typing import Annotated

from node.answers.marks import Decimals, Milliseconds, ModId, Seconds, ShownPeerId
from node.content.vault.stored_mod import StoredMod
from protocol.causes.cause import Cause
from protocol.content.link import LineageLink, ModLink


@dataclass(frozen=True, slots=True)
class ModView:
    """A mod in the vault."""

    mod_id: ModId
    name: str
    """Empty if the mod is only held for others."""
    version: int
    """Within its lineage, counted from 1; 0 if that is not known."""
    files: int
    bytes: int
    """Of all files together."""
    link: ModLink | None
    """Null if this node does not have the key that opens the mod."""
    added: float
    """When it came here, in seconds since 1970."""
    shared: bool
    """Whether the mod was made here, not fetched."""
    complete: bool

    @classmethod
    def of(cls, mod: StoredMod, *, complete: bool) -> "ModView":
        """What a mod in the vault looks like."""
        return cls(
            mod_id=mod.mod_id,
            name=mod.name,
            version=mod.version,
            files=mod.files,
            bytes=mod.bytes,
            link=mod.link if mod.content_key else None,
            added=mod.added,
            shared=mod.published,
            complete=complete,
        )


@dataclass(frozen=True, slots=True)
class Announcement:
    """How many of the contacts that were asked keep the provider record."""

    confirmed: int
    asked: int
    refused: dict[str, int]
    """Why the others do not keep it, by the name of the refusal."""
    cause: Cause | None = None
    """Why no contact was asked; null where some were."""


@dataclass(frozen=True, slots=True)
class ShareResult:
    """What sharing made."""

    mod_id: ModId
    link: ModLink
    """That of this version."""
    lineage: LineageLink
    """That of the mod through all its versions, the newest of which is this."""
    origins: tuple[str, ...]
    """The HTTP servers that both links and the lineage's record name."""
    name: str
    version: int
    """Within its lineage, counted from 1."""
    is_new: bool
    """False where nothing has changed since the newest version."""
    files: int
    bytes: int
    """Of all files together."""
    new_bytes: int
    """Sealed bytes that the vault did not have."""
    published: Announcement
    left_out: int = 0
    """Files, and folders with all in them, that `.modswarmignore` or `exclude` left out."""
    left_out_paths: tuple[str, ...] = ()
    """The paths of some of them."""
    idle_excludes: tuple[str, ...] = ()
    """Those of `exclude` that decided about no file or folder."""


@dataclass(frozen=True, slots=True)
class ModOffer:
    """What a link would bring, before anything is kept or written."""

    mod_id: ModId
    name: str
    files: int
    bytes: int
    """Of all files together, as they would be written."""
    folders: int
    disk_bytes: int
    """The same with what a file system needs for each file and folder."""
    sealed_bytes: int
    """Compressed and sealed, as they would be fetched."""
    paths: tuple[str, ...]
    """Those of the first files."""


@dataclass(frozen=True, slots=True)
class GetResult:
    """What a download fetched and wrote, and how long each step took."""

    mod_id: ModId
    name: str
    path: str
    """The folder that was written."""
    files: int
    bytes: int
    """Of all files together."""
    bytes_fetched: int
    """Bytes of the manifest and of sealed chunks that came from others."""
    seconds: Seconds
    first_byte_ms: Milliseconds | None
    """From the request to the first verified chunk; null when nothing had to be fetched."""
    lookup_ms: Milliseconds | None
    """To read the provider records from the DHT; null if they were not read to their end."""
    connect_ms: Milliseconds | None
    """From the first call that succeeded to its open link; null if no link opened."""
    transfer_MBps: Annotated[float, Decimals(2)] | None  # noqa: N815 (the unit)
    """Megabytes a second; null when nothing had to be fetched."""
    record_hops: int
    """Contacts asked one after another until the first provider record was found."""
    signaled_via: tuple[ShownPeerId, ...]
    """The registrars that forwarded the calls."""
    sources: tuple[str, ...]
    """The names of the sources of these bytes, each verified: a peer's is its id, an origin's
    its URL."""
    banned: tuple[str, ...]
    """The names of sources that broke a rule, and of which nothing more was taken.

    What one of them had sent before and was verified counts, so it may be among `sources` as well.
    """


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The two files of a mod that any HTTP server can host, by their paths."""

    mod_id: ModId
    manifest: str
    chunks: str
    bytes: int
    """Of both together."""


@dataclass(frozen=True, slots=True)
class OriginsView:
    """The HTTP origins that a link names, and whether a person lets them be asked."""

    origins: tuple[str, ...]
    agreed: bool | None
    """Null: no person has said so far, and they are not asked."""
    hidden: bool
    """Whether this node hides its address: then they are not asked, whatever a person says."""


@dataclass(frozen=True, slots=True)
class ModList:
    """The mods in the vault, in the order in which they came."""

    mods: tuple[ModView, ...]


@dataclass(frozen=True, slots=True)
class Removed:
    """The mod that is shared no more."""

    removed: ModId
