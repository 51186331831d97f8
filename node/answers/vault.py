"""What the vault keeps."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from node.answers.marks import ModId
from node.content.caching.caching import CacheState
from node.content.keeping.keeping import KeepingState
from node.content.keeping.usage import ModUsage
from node.content.vault.stored_mod import KeptMod


@dataclass(frozen=True, slots=True)
class KeptView:
    """What one mod takes of the vault. All bytes are sealed ones."""

    mod_id: ModId
    name: str
    """Empty if the mod is only held for others."""
    own_bytes: int
    """What goes with it."""
    shared_bytes: int
    """What other mods need as well."""
    used: float
    """When it was last shared, fetched or served, in seconds since 1970, give or take an hour."""
    pinned: bool
    """By a person, or as it is shared from here."""
    followed: bool
    """Whether it is a version of what is followed."""
    in_use: bool
    """Whether it is being fetched or written, or was served within the last half minute."""
    complete: bool


@dataclass(frozen=True, slots=True)
class VaultView:
    """What the vault takes and may take."""

    budget_bytes: int
    """What may be kept of mods that are neither pinned, followed nor in use, nor of the cache."""
    bound_bytes: int
    """What those take now."""
    bytes: int
    """What all mods take."""
    unneeded_bytes: int
    """What the vault takes besides: of removed mods and failed shares. It is freed when the disk
    needs room, and once it is more than a part of all."""
    disk_free_bytes: int | None
    """Null where the disk does not tell."""
    kept_free_bytes: int
    """What the vault leaves free of it."""
    mods: tuple[KeptView, ...]
    """In the order in which they came."""

    @classmethod
    def of(cls, state: KeepingState) -> "VaultView":
        """What a vault's state looks like."""
        usages = state.usages
        stay = {one.mod.number for one in usages if _is_unbound(one.mod)}
        bound = [one for one in usages if one.mod.number not in stay]
        needed = _together(usages, ())
        return cls(
            budget_bytes=state.budget,
            bound_bytes=_together(bound, stay),
            bytes=needed,
            unneeded_bytes=max(0, state.pack_bytes - needed),
            disk_free_bytes=state.disk.free,
            kept_free_bytes=state.disk.kept_free,
            mods=tuple(_view(one, state) for one in usages),
        )


@dataclass(frozen=True, slots=True)
class CachedView:
    """A mod that is kept for others; this node cannot read it."""

    mod_id: ModId
    bytes: int
    """What it takes at most, sealed."""
    askers: int
    """How many networks asked for it within a week."""
    complete: bool


@dataclass(frozen=True, slots=True)
class CacheView:
    """What is kept for others, in the vault but by a budget of its own."""

    budget_bytes: int
    """0: nothing is cached."""
    bytes: int
    mods: tuple[CachedView, ...]
    refused: tuple[ModId, ...]
    """What is never taken."""

    @classmethod
    def of(cls, state: CacheState) -> "CacheView":
        """What a cache's state looks like."""
        mods = tuple(
            CachedView(one.mod.mod_id, one.mod.bytes, one.askers, one.complete)
            for one in state.mods
        )
        return cls(state.budget, sum(mod.bytes for mod in mods), mods, state.refused)


@dataclass(frozen=True, slots=True)
class CacheChange:
    """A mod that a person dropped, refused or allowed, and whether there was something to do."""

    mod_id: ModId
    changed: bool
    """Whether it was in the cache; or refused, where it is allowed."""


@dataclass(frozen=True, slots=True)
class ScrubResult:
    """What a check of all bytes of the vault found and mended."""

    blobs: int
    bytes: int
    bad: int
    """Chunks and manifests that were damaged, or could not be read."""
    repaired: tuple[ModId, ...]
    """Mods that are whole again."""
    lacking: tuple[ModId, ...]
    """Mods that still lack something; the next check tries again."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A mod that is pinned now, or is no more."""

    mod_id: ModId
    pinned: bool


def _is_unbound(mod: KeptMod) -> bool:
    return mod.is_cached or not mod.may_go


def _together(usages: Sequence[ModUsage], others: Collection[int]) -> int:
    """What these mods take together, each byte once, but for what some others need too."""
    left, total = {*others, *(one.mod.number for one in usages)}, 0
    for one in usages:
        left.discard(one.mod.number)
        total += one.beside(left)
    return total


def _view(usage: ModUsage, state: KeepingState) -> KeptView:
    mod = usage.mod
    own = usage.beside({one.mod.number for one in state.usages})
    return KeptView(
        mod_id=mod.mod_id,
        name=mod.name,
        own_bytes=own,
        shared_bytes=usage.bytes - own,
        used=mod.used,
        pinned=mod.is_pinned,
        followed=mod.is_followed,
        in_use=mod.is_in_use,
        complete=mod.mod_id not in state.incomplete,
    )
