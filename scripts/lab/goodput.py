"""How much of a line a mod gets where one network at least passes no UDP, in either role."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from protocol.errors import ModswarmError
from scripts.lab.files import hashes
from scripts.lab.kinds import KINDS, Kind
from scripts.lab.lab import Lab
from scripts.lab.nodes import LabNode

LINE_MB_S: Final = 1.25
DELAY_MS: Final = 25.0
"""A relay stands in one half of the internet, so that a path by it is once as long."""

_OTHERS: Final = ("public", "port", "symmetric", "ipv6only")
_GOAL: Final = 0.5
_LINE_S: Final = 8.0
_BYTES_MOST: Final = 64_000_000
"""A mod takes so long at the rate of the line, but has no more than that."""

_CONNECT_S: Final = 30.0
_FETCH_S: Final = 180.0
_POLL_S: Final = 0.5
_CHANGES: Final = "/v1/links/changes"


@dataclass(frozen=True, slots=True)
class Line:
    """The line of each site, and what a relay carries in all, None for a node's own choice."""

    bytes_s: int
    relay_rate: int | None
    round_trip_ms: float

    @property
    def settings(self) -> str:
        """For the `config.toml` of each node."""
        return "" if self.relay_rate is None else f"relay_rate = {self.relay_rate}\n"


def kinds(named: Sequence[Kind] | None) -> list[Kind]:
    """`blocked`, and the kinds that it is to meet: these, or some of those that differ most."""
    others = [KINDS[name] for name in _OTHERS] if named is None else named
    return [KINDS["blocked"], *(kind for kind in others if not kind.blocked)]


def pairs(kinds: Sequence[Kind]) -> list[tuple[str, str]]:
    """Who gets a mod from whom, by name: every pair of kinds with a blocked one, both ways."""
    names = [kind.name for kind in kinds if not kind.blocked]
    met = [("blocked", "blocked"), *(("blocked", name) for name in names)]
    met += [(name, "blocked") for name in names]
    return [(f"{getter}.a", f"{giver}.b") for getter, giver in met]


def run(lab: Lab, line: Line, kinds: Sequence[Kind]) -> tuple[list[dict[str, Any]], bool]:
    """Get a mod by each pair, one after the other; the figures, and whether all reach the goal."""
    lab.shape(line.bytes_s)
    rows = []
    print(_head(line))
    for getter, giver in pairs(kinds):
        rows.append(_measure(lab, line, lab.nodes[getter], lab.nodes[giver]))
        print(_said(rows[-1]), flush=True)
    return rows, all(row["met"] for row in rows)


def _head(line: Line) -> str:
    relay = "by default" if line.relay_rate is None else f"{line.relay_rate / 1e6:g} MB/s"
    return (
        f"\nLines of {line.bytes_s / 1e6:g} MB/s, a round trip of {line.round_trip_ms:g} ms,"
        f" relay_rate {relay}"
    )


def _said(row: dict[str, Any]) -> str:
    verdict = "met" if row["met"] else f"NOT MET {row['failure']}".rstrip()
    ways = " to ".join("/".join(row[end]) or "-" for end in ("giver_by", "getter_by"))
    return (
        f"{row['getter']:12} from {row['giver']:12} {row['bytes_s'] / 1e6:6.2f} MB/s"
        f" {row['share']:6.1%}  {ways} by {', '.join(row['relays']) or 'no relay'},"
        f" {len(row['lost'])} links lost  {verdict}"
    )


def _measure(lab: Lab, line: Line, getter: LabNode, giver: LabNode) -> dict[str, Any]:
    name = f"{getter.host.name}-{giver.host.name}"
    source, target = lab.folder / f"{name}-mod", lab.folder / f"{name}-got"
    size = min(int(_LINE_S * line.bytes_s), _BYTES_MOST)
    source.mkdir()
    (source / "file").write_bytes(Random(name).randbytes(size))
    watched = Watched(lab, getter, giver)
    seconds, failure = 0.0, ""
    try:
        getter.connect(giver).result(_CONNECT_S)
        link = giver.share(source)
        watched.begin()
        since = time.monotonic()
        watched.until(getter.begin_fetch(link, target), since + _FETCH_S)
        seconds = time.monotonic() - since
    except (ModswarmError, TimeoutError, OSError) as error:
        failure = str(error) or type(error).__name__
    same = not failure and hashes(source) == hashes(target)
    bytes_s = size / seconds if same else 0.0
    return {
        "getter": getter.host.name,
        "giver": giver.host.name,
        "line_bytes_s": line.bytes_s,
        "relay_rate": line.relay_rate,
        "round_trip_ms": line.round_trip_ms,
        "bytes": size,
        "seconds": round(seconds, 2),
        "bytes_s": round(bytes_s),
        "share": round(bytes_s / line.bytes_s, 3),
        "goal": _GOAL,
        "same": same,
        "getter_by": watched.getter_by,
        "giver_by": watched.giver_by,
        "relays": watched.relays,
        "lost": watched.lost(),
        "failure": failure,
        "met": same and bytes_s >= _GOAL * line.bytes_s,
    }


class Watched:
    """By which paths a mod came, as each end sees them, and whether the link held."""

    def __init__(self, lab: Lab, getter: LabNode, giver: LabNode) -> None:
        self._names = {node.peer_id: name for name, node in lab.nodes.items()}
        self._getter, self._giver = getter, giver
        self._last = 0
        self.getter_by: list[str] = []
        self.giver_by: list[str] = []
        self.relays: list[str] = []

    def begin(self) -> None:
        """Changes count from now on."""
        self._last = self._giver.get(_CHANGES)["last"]

    def until(self, fetching: "Future[dict[str, Any]]", deadline: float) -> None:
        """Look until the mod is there; raises what the getter answers, TimeoutError."""
        while not fetching.done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {_FETCH_S:.0f} s")
            wait([fetching], _POLL_S)
            # The thread of the getter's namespace waits for the mod.
            self._look(self._giver, self._getter, self.giver_by)
        fetching.result()
        self._look(self._giver, self._getter, self.giver_by)
        self._look(self._getter, self._giver, self.getter_by)

    def _look(self, node: LabNode, peer: LabNode, ways: list[str]) -> None:
        link = node.link_to(peer)
        for path in link["paths"][:1] if link else ():
            _add(ways, path["kind"])
            if path["relay"]:
                _add(self.relays, self._names[path["relay"]])

    def lost(self) -> list[str]:
        """Why links of the giver with the getter ended since the beginning."""
        if self._giver.get(_CHANGES)["last"] == self._last:
            return []
        told = self._giver.get(_CHANGES, after=str(self._last))["changes"]
        return [
            one["reason"]
            for one in told
            if one["event"] == "down" and one["peer_id"] == self._getter.peer_id
        ]


def _add(found: list[str], name: str) -> None:
    if name not in found:
        found.append(name)
