"""A vault's life on a full disk, as steps that a process can be killed in.

`python -m tests.found.changing.full_disk HOME STEP` opens the home, removes all mods but the last,
and dies at the STEP-th thing that it does to the disk.
"""

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.content.vault.index import Index
from node.content.vault.packs import Packs
from node.content.vault.store import Store
from node.content.vault.stored_mod import StoredMod
from node.content.vault.tables.mod_table import ModTable
from node.disk.reserve import Reserve
from node.home import Home
from protocol.content import sealing

CHUNK_BYTES = 20_000
KILLED = 9


def chunks_of(number: int, count: int) -> list[tuple[bytes, bytes]]:
    """The chunks of a mod."""
    rng = random.Random(number)
    parts = [rng.randbytes(CHUNK_BYTES) for _ in range(count)]
    return [(sealing.address_of(part), part) for part in parts]


def mod_id(number: int) -> bytes:
    """The id of a mod."""
    return sealing.address_of(b"manifest %d" % number)


def add(store: Store, number: int, count: int) -> None:
    """Put a mod into the vault; raises DiskError."""
    blobs = chunks_of(number, count)
    mod = StoredMod(
        *(mod_id(number), b"k" * 32, f"mod {number}", 1, 1, 1, 1, count),
        published=True,
        added=1.0,
    )
    store.put(blobs)
    store.add_mod(mod, b"manifest %d" % number, [address for address, _ in blobs])


def remove(store: Store, number: int) -> None:
    """Remove a mod and free its room, as `modswarm rm` does."""
    assert store.remove_mod(mod_id(number))
    tidy(store)


def tidy(store: Store) -> None:
    """What each start does, and each removal."""
    store.compaction.collect()
    while store.compaction.compact():
        pass


def has(store: Store, number: int, count: int) -> bool:
    """Whether all of a mod is there, right to the last byte; it is all there, or not known."""
    found = store.get_chunks(mod_id(number), range(count))
    if found is None:
        return False
    assert found == [data for _, data in chunks_of(number, count)]
    assert store.missing(mod_id(number)) == []
    return True


def start(home: Path) -> tuple[Home, Store]:
    """All that a start writes."""
    opened = Home.open(home)
    store = Store(opened.vault)
    tidy(store)
    opened.write_control("127.0.0.1:1", "token")
    return opened, store


def stop(opened: tuple[Home, Store]) -> None:
    """All that the end of a node writes."""
    home, store = opened
    home.remove_control()
    store.close()
    home.close()


def _main() -> None:
    home, left = Path(sys.argv[1]), [int(sys.argv[2])]

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                os._exit(KILLED)
            result = function(*arguments)
            left[0] -= 1
            if not left[0]:
                os._exit(KILLED)
            return result

        return called

    steps: tuple[tuple[type, tuple[str, ...]], ...] = (
        (Packs, ("write", "cut", "remove")),
        (Index, ("delete", "record")),
        (ModTable, ("remove",)),
        (Reserve, ("give_up", "refill")),
        (Store, ("close",)),
    )
    for owner, names in steps:
        for name in names:
            setattr(owner, name, dying(getattr(owner, name)))
    opened = start(home)
    for mod in opened[1].mods()[:-1]:
        assert opened[1].remove_mod(mod.mod_id)
        tidy(opened[1])
    stop(opened)


if __name__ == "__main__":
    _main()
