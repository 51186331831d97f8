"""How soon a follower knows of a new version: real nodes with a link open, simulated ones without.

With a link the clock runs from the publisher's `share` on loopback. Without one a follower has to
poll, which takes minutes: so that is measured in virtual time, in the experiment `follow`.
"""

import threading
import time
from pathlib import Path
from typing import Any

from node.faces.demo.processes import wait_until
from scripts.benchmarks.content import sources
from scripts.benchmarks.content.ours import Node, nodes
from scripts.benchmarks.content.places import LOOPBACK, Place
from scripts.benchmarks.content.rows import Setting
from simulations.experiments import follow

LINKED_GOAL_S, UNLINKED_GOAL_S = 5.0, 300.0
_MOD_BYTES = 1_000_000
_CHANGED = 0.01
_LIMIT_S = 60.0
_FOLLOWERS = {False: 24, True: 6}


def noticed(setting: Setting) -> dict[str, Any]:
    """Seconds until a follower knows of the version, and until its folder has it."""
    return {
        "link open": _linked(setting.folder),
        "no link": _unlinked(_FOLLOWERS[setting.quick]),
    }


def _linked(folder: Path) -> dict[str, Any]:
    here = Place(LOOPBACK)
    mod = sources.one_file(folder / "mod", _MOD_BYTES, 31)
    later = sources.changed(mod, folder / "later", _CHANGED)
    with nodes([here] * 3, folder / "nodes") as (_, publisher, follower):
        link = publisher.share(mod, "lineage")
        follower.follow(link, folder / "followed")
        mod.rename(folder / "before")
        later.rename(mod)
        sharing = threading.Thread(target=publisher.share, args=(mod,))
        began = time.perf_counter()
        sharing.start()
        heard_s = _until(began, follower, "newest")
        has_s = _until(began, follower, "version")
        sharing.join()
    return {"heard_s": heard_s, "has_s": has_s, "goal_s": LINKED_GOAL_S}


def _until(began: float, follower: Node, what: str) -> float:
    """Seconds until the follower's view has 2 there; raises NodesSlow."""
    wait_until(
        lambda: follower.ask("/v1/follows")["follows"][0][what] == 2,
        _LIMIT_S,
        "hearing of a version",
    )
    return round(time.perf_counter() - began, 3)


def _unlinked(followers: int) -> dict[str, Any]:
    parameters = follow.Parameters(followers=followers, links=(0,), churn="none", processes=1)
    (leg,) = follow.run(parameters, lambda _: None).data["legs"]
    heard = {name: leg[name] for name in ("heard_p50_s", "heard_p90_s", "heard_p99_s")}
    return {**heard, "have": leg["have"], "followers": followers, "goal_s": UNLINKED_GOAL_S}
