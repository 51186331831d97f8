"""Transfers between real nodes while the path of their link changes: stalls and hashes."""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from protocol.errors import ModswarmError
from scripts.lab.files import hashes
from scripts.lab.kinds import KINDS, Kind
from scripts.lab.lab import Lab
from scripts.lab.net import conntrack
from scripts.lab.net.lines import shape
from scripts.lab.net.spaces import enter
from scripts.lab.net.topology import LAN, MOBILE, Host, move
from scripts.lab.nodes import LabNode

_BYTES = 10_000_000
_LINE_BYTES_S = 1_000_000
_EVENT_S = 3.0
"""After the first bytes."""
_POLL_S = 0.05
_TRANSFER_S = 60.0
_CONNECT_S = 30.0

Event = Callable[[Lab, LabNode, LabNode, str | None], None]
"""Takes the lab, caller and callee, and the peer id of the relay in use."""


@dataclass(frozen=True, slots=True)
class Change:
    """One transfer with an event. `before` shapes the network before the call."""

    name: str
    kind: str
    event: Event
    goal_s: float
    before: Event | None = None


@dataclass(slots=True)
class Watched:
    """What the getter's link had received, and by which way, at times of the monotonic clock."""

    seen: list[tuple[float, int, str]] = field(default_factory=list)
    relay: str | None = None
    """The peer id of the relay in use at present."""

    def stall_s(self, since: float) -> float:
        """The longest time in which nothing came, until the last byte."""
        grew = [later[0] for earlier, later in pairwise(self.seen) if later[1] > earlier[1]]
        times = [since, *(at for at in grew if at > since)]
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)

    @property
    def ways(self) -> list[str]:
        """The ways of the link, one after the other."""
        found: list[str] = []
        for _, _, way in self.seen:
            if found[-1:] != [way]:
                found.append(way)
        return found


def _cut(rule: str) -> Event:
    """Let the caller's router do this to what goes straight between the two, both ways."""

    def cut(_lab: Lab, caller: LabNode, callee: LabNode, _relay: str | None) -> None:
        theirs = callee.host.external
        lines = "".join(f"ip {end} {theirs} {rule}\n" for end in ("saddr", "daddr"))
        chain = f"chain cut {{\ntype filter hook forward priority -50;\n{lines}}}"
        caller.host.routers[-1].rules(f"table inet cut {{\n{chain}\n}}\n")

    return cut


def _uncut(_lab: Lab, caller: LabNode, _callee: LabNode, _relay: str | None) -> None:
    caller.host.routers[-1].rules("delete table inet cut")


def _kill_relay(lab: Lab, _caller: LabNode, _callee: LabNode, relay: str | None) -> None:
    (node,) = (one for one in lab.nodes.values() if one.peer_id == relay)
    node.host.space.ip("link", "set", "wan", "down")


def _forget(_lab: Lab, caller: LabNode, _callee: LabNode, _relay: str | None) -> None:
    conntrack.flush(caller.host.routers[-1])


def _remap(lab: Lab, caller: LabNode, callee: LabNode, relay: str | None) -> None:
    rule = 'oifname "wan" meta l4proto udp masquerade to :40000-50000'
    caller.host.routers[-1].rules(
        f"flush chain inet lab outward\nadd rule inet lab outward {rule}\n"
    )
    _forget(lab, caller, callee, relay)


def _slow(node: LabNode, device: str) -> None:
    """Let a machine send at the rate of the lab's line."""
    shape(node.host.space, device, _LINE_BYTES_S)


def _mobile(name: str, kind: str, *ends: int) -> Change:
    """Machines (0: the getter's, 1: the giver's) come to other networks of the same kind."""
    others: dict[str, Host] = {}

    def build(lab: Lab, caller: LabNode, callee: LabNode, _relay: str | None) -> None:
        for node in [(caller, callee)[end] for end in ends]:
            others[node.host.name] = lab.second_network(node, KINDS[kind])

    def go(_lab: Lab, caller: LabNode, callee: LabNode, _relay: str | None) -> None:
        for node in [(caller, callee)[end] for end in ends]:
            move(node.host, others[node.host.name])
            if node is callee:
                _slow(node, MOBILE)

    return Change(name, kind, go, 3.0, build)


CHANGES = (
    Change("relay-to-direct", "port", _uncut, 0.1 + 2 * _POLL_S, _cut("drop")),
    Change("relay-killed", "symmetric", _kill_relay, 2.0),
    Change("router-forgets", "port", _forget, 3.0),
    Change("nat-remaps", "port", _remap, 3.0),
    Change("mtu-black-hole", "port", _cut("meta length > 1280 drop"), 1.0),
    Change("cable-pulled", "port", _cut("drop"), 3.0),
    _mobile("mobile-getter", "port", 0),
    _mobile("mobile-giver", "port", 1),
    _mobile("mobile-both", "port", 0, 1),
    _mobile("mobile-v6-getter", "ipv6", 0),
    _mobile("mobile-v6-giver", "ipv6", 1),
    _mobile("mobile-v6-both", "ipv6", 0, 1),
)


def chosen(only: str | None) -> list[Change]:
    """The changes of these names, or all; ends the program for a name that is none."""
    if not only:
        return list(CHANGES)
    names = only.split(",")
    for name in names:
        if name not in {one.name for one in CHANGES}:
            sys.exit(f"There is no change {name!r}, but {', '.join(one.name for one in CHANGES)}.")
    return [one for one in CHANGES if one.name in names]


def kinds(changes: Sequence[Change]) -> list[Kind]:
    """A kind for each change, so that no two share routers."""
    return [replace(KINDS[one.kind], name=one.name) for one in changes]


def run(lab: Lab, changes: Sequence[Change]) -> tuple[list[dict[str, Any]], bool]:
    """These changes one after the other; the figures, and whether all goals are met."""
    rows = [_perform(lab, one) for one in changes]
    for row in rows:
        print(_line(row))
    return rows, all(row["met"] for row in rows)


def _line(row: dict[str, Any]) -> str:
    verdict = "met" if row["met"] else f"NOT MET {row['failure']}"
    ways = " > ".join(row["ways"])
    return (
        f"{row['change']:16} stall {row['stall_s']:6.2f} s <= {row['goal_s']:g}  {ways}  {verdict}"
    )


def _perform(lab: Lab, change: Change) -> dict[str, Any]:
    caller, callee = (lab.nodes[f"{change.name}.{end}"] for end in "ab")
    source, target = lab.folder / f"{change.name}-mod", lab.folder / f"{change.name}-got"
    source.mkdir()
    (source / "file").write_bytes(Random(change.name).randbytes(_BYTES))
    row: dict[str, Any] = {"change": change.name, "goal_s": change.goal_s, "ways": []}
    watched, since, failure = Watched(), time.monotonic(), ""
    _slow(callee, LAN)
    try:
        if change.before is not None:
            change.before(lab, caller, callee, None)
        caller.connect(callee).result(_CONNECT_S)
        since = _transfer(lab, change, (caller, callee), (source, target), watched)
    except (ModswarmError, TimeoutError, OSError) as error:
        failure = str(error) or type(error).__name__
    same = not failure and hashes(source) == hashes(target)
    stall_s = round(watched.stall_s(since), 2)
    met = same and stall_s <= change.goal_s
    return row | {
        "stall_s": stall_s,
        "ways": watched.ways,
        "same": same,
        "failure": failure,
        "met": met,
    }


def _transfer(
    lab: Lab,
    change: Change,
    ends: tuple[LabNode, LabNode],
    folders: tuple[Path, Path],
    watched: Watched,
) -> float:
    """Fetch what the callee shares, with the event in the middle; when that was."""
    caller, callee = ends
    body = {"link": callee.share(folders[0]), "to": str(folders[1])}
    over = threading.Event()
    with ThreadPoolExecutor(1, initializer=enter, initargs=(caller.host.space.name,)) as watcher:
        watching = watcher.submit(_watch, caller, callee, watched, over)
        fetching = caller.host.space.begin(
            lambda: list(caller.process.client.stream("/v1/downloads", body))
        )
        try:
            time.sleep(_EVENT_S)
            since = time.monotonic()
            change.event(lab, caller, callee, watched.relay)
            fetching.result(_TRANSFER_S)
        finally:
            over.set()
            watching.result()
    return since


def _watch(caller: LabNode, callee: LabNode, watched: Watched, over: threading.Event) -> None:
    while not over.wait(_POLL_S):
        links = caller.process.client.get("/v1/links")["links"]
        link = next((one for one in links if one["peer_id"] == callee.peer_id), None)
        if link is not None:
            watched.seen.append((time.monotonic(), link["bytes_received"], link["path"]))
            watched.relay = link["relay"]
