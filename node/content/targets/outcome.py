"""What is asked of an update of a target, and what it tells."""

import enum
from dataclasses import dataclass, field
from pathlib import Path


class ChangedFiles(enum.Enum):
    """What becomes of files that a person changed, where the new version has other ones."""

    KEEP = "keep"
    """They stay beside the new ones, as NAME.local."""
    REFUSE = "refuse"
    """The target stays as it is, and the update is refused."""


@dataclass(frozen=True, slots=True)
class Updated:
    """A target that was brought to a version of its mod. Paths are within it, in their order."""

    path: Path
    mod_id: bytes
    written: tuple[str, ...] = field(default=(), repr=False)
    """Files that are new or have new bytes."""
    removed: tuple[str, ...] = field(default=(), repr=False)
    """Files that the version has no more."""
    kept_local: tuple[str, ...] = field(default=(), repr=False)
    """The names that what was a person's own has now."""
    left_changed: tuple[str, ...] = field(default=(), repr=False)
    """Files that a person changed and the version did not: they stay as they are."""
    restored: tuple[str, ...] = field(default=(), repr=False)
    """Files of `written` that the version did not change, but a person had removed."""
    unchanged: int = 0
    """Files that stayed, of which at most time and permissions changed."""
    bytes_written: int = 0


@dataclass(frozen=True, slots=True)
class TargetState:
    """A folder that modswarm wrote."""

    path: Path
    mod_id: bytes
    """The version that is there, or that is left if an update is `pending`."""
    pending: bool
    """An update was broken off, and could not yet be finished or taken back."""
    is_there: bool
