"""What a person follows, and the versions of mods."""

from dataclasses import dataclass
from enum import StrEnum

from node.answers.marks import LineageKey, ModId
from node.content.opened_mods import OpenedMod
from protocol.content.link import LineageLink, ModLink


class FollowStatus(StrEnum):
    """How what is followed stands."""

    CURRENT = "current"
    """The folder has the newest version that is known."""
    UPDATING = "updating"
    WAITING = "waiting"
    """For the network: for news of a version, or for peers that have it."""
    ASKS = "asks"
    """A version is so large that a person has to agree."""
    CHANGED = "changed"
    """A person changed files in the folder, and asked that updates are refused then."""
    BUSY = "busy"
    """A program holds files of the folder open."""
    HELD = "held"
    """A person went back to this version."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FollowView:
    """A mod that is followed into a folder."""

    lineage: LineageKey
    name: str
    """Empty until the first version is there."""
    path: str
    version: int
    """That the folder has; 0 until the first one is there."""
    newest: int
    """That is known; 0 if none is."""
    status: FollowStatus
    message: str
    """Why the folder does not have the newest version; empty if it does."""
    waiting_version: int
    """That a person has to agree to; 0 if there is no such one."""
    expired: bool
    """The publisher has not renewed the mod's record in time: there may be newer versions."""
    forked: bool
    """The mod was continued twice: two machines have its key."""


@dataclass(frozen=True, slots=True)
class FollowList:
    """All that is followed, by folder."""

    follows: tuple[FollowView, ...]


@dataclass(frozen=True, slots=True)
class FollowChange:
    """What a person's word changed: the folder after it, by what happened to its files."""

    follow: FollowView
    written: int
    removed: int
    kept_local: tuple[str, ...]
    """The names under which files that a person changed were kept."""


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version of a mod."""

    version: int
    mod_id: ModId
    link: ModLink
    name: str
    files: int
    bytes: int
    """Of all files together."""
    here: bool
    """Whether the vault has all of it."""

    @classmethod
    def of(cls, opened: OpenedMod, link: ModLink, *, here: bool) -> "VersionView":
        """What a version that was opened looks like."""
        contents = opened.contents
        assert contents is not None
        return cls(
            version=contents.version,
            mod_id=link.mod_id,
            link=link,
            name=contents.name,
            files=len(contents.files),
            bytes=contents.total_bytes,
            here=here,
        )


@dataclass(frozen=True, slots=True)
class VersionList:
    """The versions of a mod, the newest first."""

    lineage: LineageLink
    versions: tuple[VersionView, ...]
    unknown_before: int
    """The version before this one could not be looked at; 0: all of the newest ones are known."""
    message: str
    """Why it could not; empty if all are known."""
    expired: bool
    forked: bool
