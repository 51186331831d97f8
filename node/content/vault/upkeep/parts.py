"""What the upkeep of one vault works on."""

from dataclasses import dataclass
from pathlib import Path

from node.content.vault.index import Index
from node.content.vault.packs import Packs
from node.disk.reserve import Reserve


@dataclass(frozen=True, slots=True)
class StoreParts:
    """A vault's folder, its index, its packs, and the room that it keeps for hard times."""

    folder: Path
    index: Index
    packs: Packs
    reserve: Reserve
