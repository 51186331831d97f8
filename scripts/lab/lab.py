"""The whole lab: an internet with its sites, the probe, and a node on each host."""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from protocol import limits
from scripts.lab import nodes as processes
from scripts.lab import probe
from scripts.lab.kinds import KINDS, MAPPING_S, Kind, Twosome
from scripts.lab.matrix import Outcome, Pair, run
from scripts.lab.net.topology import Host, Internet
from scripts.lab.nodes import LabNode

SEEDS = 6
"""Public nodes besides those of the pairs: bootstraps, registrars and relays of the others."""

_BOOTSTRAPS = 3
_AT_ONCE = 8

SETTLED_S = MAPPING_S + 5.0
"""Until a node knows that it is behind a router, others send to it unasked; a router that accepts
input then keeps entries that spoil mappings for as long as this."""

_PAUSE_S = limits.BIRTHDAY_PAUSE_S + 1.0

Result = TypeVar("Result")


class Lab:
    """Builds the sites when it is made, and ends nodes when it is left."""

    def __init__(
        self, internet: Internet, kinds: Sequence[Kind], twosomes: Sequence[Twosome]
    ) -> None:
        self.nodes: dict[str, LabNode] = {}
        self.joined_ms: dict[str, float | None] = {}
        self._settings = ""
        self._searched_at = -_PAUSE_S
        self._internet = internet
        self._seeds = [
            internet.site(KINDS["public"], f"seed{number}", east=bool(number % 2))
            for number in range(SEEDS)
        ]
        self._sites = [
            (kind, internet.site(kind, f"{kind.name}.{end}", east=end == "b"))
            for kind in kinds
            for end in "ab"
        ]
        self._twosomes = [(two, internet.twosome(two)) for two in twosomes]
        self._background = ThreadPoolExecutor(1)
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        self._exits.callback(self._background.shutdown, wait=False, cancel_futures=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()
        processes.end(list(self.nodes.values()))

    def check_routers(self) -> list[probe.Finding]:
        """What every router does, but for how long."""
        found = _all(lambda site: probe.check(*site, self._servers), self._sites)
        findings = [finding for of_host in found for finding in of_host]
        near = [(two, ends) for two, ends in self._twosomes if not two.twin]
        server = self._servers[0]
        ends = [(two.kind, end) for two, pair in self._twosomes for end in pair]
        found = _all(lambda site: probe.check(*site, self._servers), ends)
        findings += [finding for of_host in found for finding in of_host]
        return findings + _all(lambda pair: probe.check_hairpin(*pair, server), near)

    def begin_lifetimes(self) -> "Future[list[probe.Finding]]":
        """How long every router keeps a mapping; this takes a little longer than that."""
        asked = [
            (host, family)
            for kind, host in self._sites
            if kind.nats and not kind.blocked
            for family, own in ((4, host.v4), (6, host.v6))
            if own
        ]
        return self._background.submit(lambda: probe.check_lifetimes(asked, self._servers[0]))

    @property
    def _servers(self) -> tuple[probe.Server, probe.Server]:
        first, second = (
            probe.Server(seed.space, seed.v4 or "", seed.v6 or "") for seed in self._seeds[:2]
        )
        return first, second

    @property
    def folder(self) -> Path:
        """Where the lab's files are until it ends."""
        return self._internet.folder

    def second_network(self, node: LabNode, kind: Kind) -> Host:
        """Another network of this kind for a node's machine, which has yet to `move` there."""
        return self._internet.second_network(kind, node.host, east=node.host.name.endswith("b"))

    def shape(self, bytes_s: int) -> None:
        """Let the line of each site carry so much each way; those of the seeds are not touched."""
        for _, host in self._sites:
            self._internet.shape(host, bytes_s)

    def save_logs(self, target: Path) -> None:
        """Copy what the nodes, and the routers' daemons, logged."""
        target.mkdir(parents=True, exist_ok=True)
        for name, node in self.nodes.items():
            shutil.copy(node.process.home.parent / "log.txt", target / f"{name}.log")
        for log in self.folder.glob("*.log"):
            shutil.copy(log, target)

    def capture(self, target: Path) -> None:
        """Let dumpcap keep what passes each host and its outer router, until the lab ends."""
        target.mkdir(parents=True, exist_ok=True)
        hosts = [host for _, host in self._sites]
        hosts += [host for _, ends in self._twosomes for host in ends]
        for host in hosts:
            words = ("dumpcap", "-q", "-f", "udp", "-w")
            file = str(target / f"{host.name}.pcapng")
            self._internet.daemon(host.space, (*words, file, "-i", "any"))
            if host.routers:
                file = str(target / f"{host.name}-wan.pcapng")
                self._internet.daemon(host.routers[-1], (*words, file, "-i", "wan"))

    def start_nodes(self, *, unreachable: bool, verbose: bool, settings: str = "") -> None:
        """Start the seeds, then all others through them, and wait until they have joined.

        `settings` are those of each, as `config.toml` has them.
        """
        self._settings = settings
        seeds: list[LabNode] = []
        for seed in self._seeds:
            options = [word for other in seeds for word in other.bootstraps(seed)]
            options += ["-v"] * verbose
            seeds.append(self._start(seed, options))
        hosts = [(host, kind.name != "public") for kind, host in self._sites]
        hosts += [(host, True) for _, ends in self._twosomes for host in ends]
        started = []
        for number, (host, routed) in enumerate(hosts):
            given = [seeds[(number + step) % SEEDS] for step in range(_BOOTSTRAPS)]
            options = [word for seed in given for word in seed.bootstraps(host)]
            options += ["-v"] * verbose
            if unreachable and routed:
                options.append("--unreachable")
            started.append(self._start(host, options, wait=False))
        for node in started:
            node.wait_until_up()
        self.joined_ms = processes.wait_until_joined(started)
        time.sleep(SETTLED_S)

    def _start(self, host: Host, options: Sequence[str], *, wait: bool = True) -> LabNode:
        folder, number = self._internet.folder / "nodes", len(self.nodes)
        node = LabNode(host, folder, number, options, self._settings)
        self.nodes[host.name] = node
        node.start()
        if wait:
            node.wait_until_up()
        return node

    def call(self, pairs: Sequence[Pair]) -> list[Outcome]:
        """Let these pairs call; those that may search wait until their nodes may do so again."""
        searches = any(pair.paced for pair in pairs)
        if searches:
            time.sleep(max(0.0, self._searched_at + _PAUSE_S - time.monotonic()))
        outcomes = run(self.nodes, pairs)
        if searches:
            self._searched_at = time.monotonic()
        return outcomes


Item = TypeVar("Item")


def _all(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    with ThreadPoolExecutor(_AT_ONCE) as workers:
        return list(workers.map(work, items))
