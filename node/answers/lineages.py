"""The mods that this node shares, through all their versions."""

from dataclasses import dataclass

from node.answers.marks import LineageKey
from protocol.content.link import LineageLink


@dataclass(frozen=True, slots=True)
class LineageView:
    """A mod through all its versions, of which this node has the keys."""

    name: str
    lineage: LineageKey
    link: LineageLink
    """By it others follow the mod."""
    path: str
    """What the newest version was made of; empty if that is not known."""
    version: int
    """The newest one."""
    kept: int
    """How many of its versions the vault keeps; 0: all."""
    expires: float | None
    """When the record that names the newest version expires unless it is renewed, in seconds since
    1970; null if there is none yet."""
    forked: bool
    """Two machines have gone on with it, each by itself."""


@dataclass(frozen=True, slots=True)
class LineageList:
    """In the order in which they began."""

    lineages: tuple[LineageView, ...]


@dataclass(frozen=True, slots=True)
class ExportedLineage:
    """The keys of a mod, as a text for `import`. It is secret: it makes versions of the mod."""

    name: str
    lineage: str
