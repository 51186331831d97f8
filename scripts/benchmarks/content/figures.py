"""The whole job beside its rivals: ours, nginx with curl, and libtorrent, on the same lines.

Each row is measured in one go by all that are here, so that ratios hold on any machine. What this
machine lacks is named in `missing`, and the rest is measured.
"""

import compileall
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import node
import protocol
from scripts.benchmarks.content import places, publish, rows
from scripts.benchmarks.content.delta import delta
from scripts.benchmarks.content.first_byte import small
from scripts.benchmarks.content.ideal import at, ratio
from scripts.benchmarks.content.origins import origin
from scripts.benchmarks.content.patching.figures import PLACES, patched
from scripts.benchmarks.content.rivals import torrents, web
from scripts.benchmarks.content.rows import Row, Setting
from scripts.benchmarks.content.versions.brought import brought
from scripts.benchmarks.content.versions.noticed import noticed
from scripts.benchmarks.content.versions.updates import CASES

_MEGA = 1_000_000
_LONG = ("ten_slow_getters", "update")
"""Left out by --quick unless they are asked for by name."""
_NOWHERE: Callable[[], str | None] = lambda: None  # noqa: E731 (a constant that is called)


def _why_no_origin() -> str | None:
    return web.why_not() or places.why_no_line() or places.why_no_star()


def _publish(setting: Setting) -> dict[str, Any]:
    """Publishing alone."""
    return publish.run(
        setting.sizes.publish // _MEGA, setting.sizes.files, 1 if setting.quick else 3
    )


ROWS: dict[str, tuple[Row, Callable[[], str | None]]] = {
    "publish": (_publish, _NOWHERE),
    "loopback": (rows.loopback, _NOWHERE),
    "line": (rows.line, places.why_no_line),
    "first_byte": (small, places.why_no_line),
    "five_sources": (rows.five_sources, places.why_no_star),
    "ten_getters": (rows.ten_getters, places.why_no_star),
    "ten_slow_getters": (rows.ten_slow_getters, places.why_no_star),
    "many_files": (rows.many_files, _NOWHERE),
    "delta": (delta, places.why_no_line),
    "patches": (patched, _NOWHERE),
    "noticed": (noticed, _NOWHERE),
    "update": (brought, _NOWHERE),
    "origin": (origin, _why_no_origin),
}
"""Each row, and what says why it cannot be measured here."""


def run(quick: bool, only: Sequence[str]) -> dict[str, Any]:
    """Measure the rows, all or `only` these; the ratios, and the rows that they are of."""
    missing = {
        name: why
        for name, why in (("http", web.why_not()), ("libtorrent", torrents.why_not()))
        if why
    }
    # The first nodes would each compile all modules, as they leave no byte code themselves.
    for package in (node, protocol):
        compileall.compile_dir(Path(package.__path__[0]), quiet=1)
    told: dict[str, Any] = {}
    for name in only or [name for name in ROWS if not (quick and name in _LONG)]:
        row, why_not = ROWS[name]
        if why := why_not():
            missing[name] = why
            continue
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="modswarm-bench-") as folder:
            setting = Setting(Path(folder), rows.QUICK if quick else rows.WHOLE, quick)
            told[name] = row(setting)
        print(f"{name}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    return {**summary(told), "missing": missing, "rows": told}


def summary(told: dict[str, Any]) -> dict[str, Any]:
    """The figures with a goal, of the rows that were measured; None for the others."""
    swarms = ("ten_getters", "ten_slow_getters")
    packages = ("assets", "numpy", "matplotlib")
    return {
        "publish_MBps": at(told, "publish", "publish_MBps"),
        "loopback_vs_libtorrent": _speed(told, "loopback", "libtorrent"),
        "shaped_100M_vs_http": {
            "node": _times(told, "line", "http", "node", "getter"),
            "command": _times(told, "line", "http", "command", "command"),
        },
        "five_sources_vs_http": _speed(told, "five_sources", "http"),
        "ten_getters_last_over_ideal": {
            name: ratio(_last(told, name, "ours", "node"), at(told, name, "ideal_s"))
            for name in swarms
        },
        "vs_libtorrent": {
            name: _speed(told, name, "libtorrent")
            for name in ("line", "five_sources", *swarms, "many_files")
        },
        "first_byte_ms": {
            name: at(told, "first_byte", name, "first_byte_ms")
            for name in ("without a link", "with a link")
        },
        "origin_vs_http": {
            "line": at(told, "origin", "line", "speed"),
            "loopback": at(told, "origin", "loopback", "speed"),
            "with_a_peer_of_both_lines": at(told, "origin", "with a peer", "of_both_lines"),
        },
        "delta": {
            **{
                what: ratio(
                    at(told, "delta", "update", what), at(told, "delta", "fetched anew", what)
                )
                for what in ("bytes_fetched", "seconds")
            },
            "fetched_over_goal": {
                **{name: at(told, "delta", "cases", name, "fetched_over_goal") for name in CASES},
                PLACES: at(told, "patches", PLACES, "fetched_over_goal"),
            },
            "patch_over_missing": {
                name: at(told, "patches", name, "patch_over_missing") for name in packages
            },
            "noticed_s": {
                "link open": at(told, "noticed", "link open", "heard_s"),
                "no link": at(told, "noticed", "no link", "heard_p99_s"),
            },
        },
    }


def _last(told: dict[str, Any], row: str, who: str, clock: str) -> float | None:
    return at(told, row, who, clock, "last_s")


def _times(told: dict[str, Any], row: str, rival: str, own: str, its: str) -> float | None:
    """How many times as long as a rival ours takes."""
    return ratio(_last(told, row, "ours", own), _last(told, row, rival, its))


def _speed(told: dict[str, Any], row: str, rival: str) -> float | None:
    """Our speed over a rival's, each by its own clock."""
    return ratio(_last(told, row, rival, "getter"), _last(told, row, "ours", "node"))
