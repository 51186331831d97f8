"""A second version of a mod: what a getter of the first still fetches.

One large file of which 1 % changed, with seconds; and the cases of `versions`, by bytes.
"""

from typing import Any

from scripts.benchmarks.content import places, sources
from scripts.benchmarks.content.ours import Got, nodes
from scripts.benchmarks.content.rows import Setting
from scripts.benchmarks.content.versions.updates import Updates

_CHANGED = 0.01


def delta(setting: Setting) -> dict[str, Any]:
    """Bytes and seconds of the second version where the first is here, and where nothing is."""
    folder, size = setting.folder, setting.sizes.delta
    first = sources.one_file(folder / "first", size, 21)
    second = sources.changed(first, folder / "second", _CHANGED)
    with (
        places.line(100, 20) as (near, far),
        nodes([near, far, far], folder / "nodes") as (sharer, getter, newcomer),
    ):
        old = sharer.share(first)
        before = getter.get(old, folder / "got-first")
        # A lineage goes on at its path.
        first.rename(folder / "before")
        second.rename(first)
        new = sharer.share(first)
        update = getter.get(new, folder / "got-second")
        updates = Updates(sharer, getter, folder / "updates", setting.sizes.update)
        updates.run()
        getter.process.end()  # it is as near to the newcomer as nothing else
        whole = newcomer.get(new, folder / "got-whole")
    return {
        "bytes": size,
        "changed": _CHANGED,
        "first version": _told(before),
        "update": _told(update),
        "fetched anew": _told(whole),
        "cases": updates.told(),
    }


def _told(got: Got) -> dict[str, Any]:
    if got.failure:
        return {"failure": got.failure}
    return {
        "bytes_fetched": got.told["bytes_fetched"],
        "seconds": got.seconds,
        "command_s": round(got.whole_s, 3),
    }
