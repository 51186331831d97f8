"""An overlay of real node processes on loopback; two of them, the endpoints, are unreachable."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from node.faces.cli.output import milliseconds
from node.faces.demo.processes import NodeProcess, end_all, wait_until
from protocol.errors import DiskError, ModswarmError

Prepare = Callable[[Iterable[Path], Callable[[int], None]], None]
"""Makes these homes, with identities, and says now and then how many there are;
`processes.make_identities` outside of tests.
"""

Tell = Callable[[str, str], None]
"""Shows a step of the demo: its name, and a sentence."""

_UP_S = 60.0
_JOIN_S = 30.0
_NO_PLACE = "no folder for temporary files is there that this user can write"
_NAME_ONE = "Name one in TMPDIR."
_ANY_PORT = "127.0.0.1:0"


class Overlay:
    """Node processes on loopback: a bootstrap, nodes that joined through it, and two endpoints."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self._folder = folder
        self.bootstrap = NodeProcess(folder / "0", "--listen", _ANY_PORT)
        self.others: list[NodeProcess] = []
        self.endpoints: list[NodeProcess] = []
        self._nodes = nodes

    @property
    def all(self) -> list[NodeProcess]:
        """Every node, the bootstrap first, the endpoints last."""
        return [self.bootstrap, *self.others, *self.endpoints]

    def homes(self) -> list[Path]:
        """Where the homes of all nodes are or will be."""
        return [self._folder / str(number) / "home" for number in range(self._nodes)]

    def start(self) -> None:
        """Start every node, and return once the two endpoints can be called."""
        self.bootstrap.start()
        wait_until(lambda: self.bootstrap.running() is not None, _UP_S, "starting the bootstrap")
        self.others = self._start(range(1, self._nodes - 2))
        self.endpoints = self._start(range(self._nodes - 2, self._nodes), "--unreachable")
        wait_until(lambda: all(map(_is_callable, self.endpoints)), _JOIN_S, "registering")

    def _start(self, numbers: Iterable[int], *options: str) -> list[NodeProcess]:
        """Start nodes that know only the bootstrap's address, and wait until they have joined."""
        bootstrap = self.bootstrap.status()["addresses"][0]
        common = ("--listen", _ANY_PORT, "--bootstrap", bootstrap, *options)
        nodes = [NodeProcess(self._folder / str(number), *common) for number in numbers]
        try:
            for node in nodes:
                node.start()
            wait_until(lambda: all(node.running() for node in nodes), _UP_S, "starting the nodes")
            wait_until(lambda: all(node.status()["joined"] for node in nodes), _JOIN_S, "joining")
        except BaseException:
            end_all(nodes)
            raise
        return nodes

    def end(self) -> None:
        """End every process."""
        end_all(self.all)


def _is_callable(node: NodeProcess) -> bool:
    return bool(node.status()["registrars"])


@contextmanager
def overlay(nodes: int, prepare: Prepare, tell: Tell) -> Iterator[tuple[Overlay, Path]]:
    """A running overlay and a folder for files; both are gone at the end, whatever happens.

    It takes three at least: a bootstrap, a sharer and a getter.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="modswarm-demo-"))
    except FileNotFoundError:
        raise DiskError(_NO_PLACE, advice=_NAME_ONE) from None
    built = Overlay(folder / "nodes", nodes)
    try:
        tell("Preparing", f"{nodes} identities; to find one takes some seconds of work, once")
        prepare(built.homes(), lambda made: tell("Preparing", f"{made} of {nodes} are found"))
        tell("Starting", f"{nodes} nodes, each a process with a home and a port of its own")
        built.start()
        joins = [node.status()["join_ms"] for node in built.all[1:]]
        tell("Joined", f"{len(joins)} through one bootstrap, in {milliseconds(median(joins))} each")
        yield built, folder
    except ModswarmError as error:
        _note_log_tails(error, built)
        raise
    finally:
        built.end()
        shutil.rmtree(folder, ignore_errors=True)


def _note_log_tails(error: ModswarmError, built: Overlay) -> None:
    """Add to the error what the nodes' logs end with, because the logs go with the folder."""
    for number, node in enumerate(built.all):
        if words := node.log_tail():
            error.add_note(f"node {number} logged: {words}")
