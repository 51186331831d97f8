"""What each mod takes of a vault, where mods have chunks in common, and which goes first.

What several mods need is kept once and goes with the last of them. So each byte is charged to the
mod that goes last of those that need it, and to none if one of them stays.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from node.content.vault.stored_mod import KeptMod


@dataclass(frozen=True, slots=True)
class ModUsage:
    """What one mod takes: bytes by the numbers of the other mods that need them too."""

    mod: KeptMod
    taken: Mapping[frozenset[int], int]

    @property
    def bytes(self) -> int:
        """All that the vault has of it."""
        return sum(self.taken.values())

    def beside(self, others: Collection[int]) -> int:
        """The bytes of it that none of these other mods needs."""
        return sum(size for needed, size in self.taken.items() if needed.isdisjoint(others))


@dataclass(frozen=True, slots=True)
class Charge:
    """A mod that may go, and the bytes that this frees once all before it are gone."""

    mod: KeptMod
    bytes: int


def charges(usages: Sequence[ModUsage], stay: Collection[int], budget: int) -> list[Charge]:
    """The mods that may go, in that order, with what each frees.

    One that is larger than the whole budget goes first, then the one not used for longest. `stay`
    has the numbers of the mods that do not go.
    """
    order = sorted(usages, key=lambda usage: _turn(usage, usage.beside(stay) > budget))
    left = {*stay, *(usage.mod.number for usage in order)}
    found = []
    for usage in order:
        left.discard(usage.mod.number)
        found.append(Charge(usage.mod, usage.beside(left)))
    return found


def _turn(usage: ModUsage, is_too_large: bool) -> tuple[bool, float, int]:
    return not is_too_large, usage.mod.used, usage.mod.number
