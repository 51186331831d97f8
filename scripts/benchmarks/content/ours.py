"""Our nodes, `modswarm run`, and `modswarm get` as a person runs it."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from node.faces.demo.processes import NodeProcess, wait_until
from node.machine import control_file
from protocol.errors import ModswarmError
from scripts.benchmarks.content.commands import timed
from scripts.benchmarks.content.places import Place
from scripts.lab.identities import give_identity

_UP_S = 60.0
_WARM_S = 0.5
"""Nodes load what links need once they have joined: a warm overlay has done that."""
_MEGA = 1e6
_MILLI = 1000


@dataclass(frozen=True, slots=True)
class Got:
    """A `modswarm get`: the node's own figures, or why it failed, and the command's."""

    told: dict[str, Any]
    whole_s: float
    command_cpu_s: float
    failure: str = ""

    @property
    def seconds(self) -> float:
        """By the node's clock, from the request to the last file."""
        return float(self.told["seconds"])


class Node:
    """A node in a place, which joins through another."""

    def __init__(self, place: Place, folder: Path, number: int, via: "Node | None" = None) -> None:
        bootstrap = ["--bootstrap", via.address] if via else []
        options = ("--listen", f"{place.address}:0", "--upnp", "off", *bootstrap)
        self.place = place
        self.process = NodeProcess(folder / f"node-{number}", *options)
        self._number = number
        self._joins = via is not None

    @property
    def address(self) -> str:
        """What others join through."""
        return str(self.ask("/v1/status")["addresses"][0])

    def start(self) -> None:
        """Start its process, and return at once."""
        give_identity(self.process.home, self._number)
        self.place.within(self.process.start)

    def wait(self) -> None:
        """Wait until it is up, and has joined; raises NodesSlow, ProcessFailed."""
        wait_until(lambda: self.process.running() is not None, _UP_S, "starting a node")
        if self._joins:
            wait_until(lambda: bool(self.ask("/v1/status")["joined"]), _UP_S, "joining")

    def ask(self, path: str) -> Any:
        """What the control API answers."""
        return self.place.within(lambda: self.process.client.get(path))

    def connect(self, other: "Node") -> dict[str, Any]:
        """Open a link to another node; its view."""
        body = {"peer": other.ask("/v1/status")["peer_id"]}
        told: dict[str, Any] = self.place.within(
            lambda: self.process.client.post("/v1/connect", body)
        )
        return told

    def share(self, source: Path, kind: str = "link") -> str:
        """Share a folder; the link of this version, or that of the `lineage`."""

        def share() -> str:
            *_, last = self.process.client.stream("/v1/mods", {"path": str(source)})
            return str(last["result"][kind])

        return self.place.within(share)

    def follow(self, link: str, target: Path) -> None:
        """Follow a lineage into a folder, which then has its newest version."""

        def follow() -> None:
            body = {"link": link, "to": str(target), "yes": True}
            for _ in self.process.client.stream("/v1/follows", body):
                pass

        self.place.within(follow)

    def fetch(self, link: str, target: Path) -> Got:
        """Fetch a mod by the control API, as the command does, without the command's own cost."""

        def fetch() -> Any:
            body = {"link": link, "to": str(target), "yes": True}
            *_, last = self.process.client.stream("/v1/downloads", body)
            return last["result"]

        started = time.perf_counter()
        try:
            told = self.place.within(fetch)
        except ModswarmError as error:
            return Got({}, time.perf_counter() - started, 0.0, str(error))
        return Got(told, time.perf_counter() - started, 0.0)

    def get(self, link: str, target: Path) -> Got:
        """Fetch a mod with the command."""
        file = target.with_name(f"{target.name}.link")
        file.write_text(link)
        command = [sys.executable, "-P", "-m", "node", "get", "--json", "--yes"]
        places = ["--home", str(self.process.home), "--to", str(target), "--link-file", str(file)]
        ran = timed([*self.place.prefix, *command, *places])
        told = json.loads(ran.output) if ran.output.strip() else {}
        failure = ""
        if ran.status or "error" in told:
            failure = told.get("error", {}).get("message") or ran.errors.strip()[-300:]
        return Got(told, ran.seconds, ran.cpu_s, failure or ("" if told else "it said nothing"))

    def cpu_s(self) -> float:
        """The processor time of its process so far."""
        pid = control_file.process_of(self.process.home)
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)

    def rss_mb(self) -> float:
        """The memory of its process."""
        pid = control_file.process_of(self.process.home)
        return float(psutil.Process(pid).memory_info().rss / _MEGA)


@contextlib.contextmanager
def nodes(places: Sequence[Place], folder: Path) -> Iterator[list[Node]]:
    """A node in each place, joined through the first; all end afterwards."""
    folder.mkdir()
    made = [Node(places[0], folder, 0)]
    try:
        made[0].start()
        made[0].wait()
        for number, place in enumerate(places[1:], 1):
            made.append(Node(place, folder, number, made[0]))
            made[-1].start()
        for node in made[1:]:
            node.wait()
        time.sleep(_WARM_S)
        yield made
    finally:
        for node in made:
            node.process.ask_to_end()
        for node in made:
            node.process.end()


class CpuMeter:
    """Processor time of some nodes from its making on."""

    def __init__(self, *metered: Node) -> None:
        self._nodes = metered
        self._before = [node.cpu_s() for node in metered]

    def ms_per_mb(self, size: int) -> list[float]:
        """Milliseconds a node has spent since, for each of so many megabytes."""
        after = [node.cpu_s() for node in self._nodes]
        return [
            round((now - before) * _MILLI / (size / _MEGA), 2)
            for now, before in zip(after, self._before, strict=True)
        ]
