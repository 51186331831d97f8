"""The rival without a server: libtorrent clients, as processes, with equal lines."""

import contextlib
import importlib.util
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.content.commands import free_port
from scripts.benchmarks.content.places import Place
from scripts.benchmarks.process import Process

_PEER = Path(__file__).with_name("torrent_peer.py")


def why_not() -> str | None:
    """What this machine lacks, or None."""
    if importlib.util.find_spec("libtorrent") is None:
        return "there is no libtorrent (of PyPI: pip install libtorrent)"
    return None


@dataclass(frozen=True, slots=True)
class Torrent:
    """The file of a torrent, where its data are, and the seconds of hashing them."""

    file: Path
    data: Path
    hash_s: float


@dataclass(frozen=True, slots=True)
class Fetched:
    """One client's download: from the torrent's adding to its end, and with the program's start."""

    seconds: float
    whole_s: float
    cpu_s: float
    bytes_fetched: int


def make(source: Path, folder: Path) -> Torrent:
    """The torrent of a folder."""
    file = folder / f"{source.name}.torrent"
    process = Process(_PEER, {"hash": str(source), "torrent": str(file)})
    try:
        return Torrent(file, source.parent, float(process.hear()))
    finally:
        process.end()


class Client:
    """A client in a place; a seed unless it has a folder of its own, with what it has already."""

    def __init__(self, place: Place, torrent: Torrent, target: Path | None = None) -> None:
        self.end = (place.address, free_port())
        if target is not None:
            target.mkdir(exist_ok=True)
        options = {
            "torrent": str(torrent.file),
            "folder": str(target or torrent.data),
            "address": place.address,
            "port": self.end[1],
            "seeds": target is None,
        }
        self._started = time.perf_counter()
        self._process = Process(_PEER, options, place.prefix)

    def wait(self) -> "Client":
        """Until it listens."""
        self._process.hear()
        self._up_s = time.perf_counter() - self._started
        return self

    def get(self, peers: Sequence["Client"]) -> Fetched:
        """Fetch from these."""
        started = time.perf_counter()
        self._process.tell([peer.end for peer in peers])
        told = self._process.hear()
        whole_s = self._up_s + time.perf_counter() - started
        return Fetched(told["seconds"], whole_s, told["cpu_s"], told["bytes_fetched"])

    def cpu_s(self) -> float:
        """Its processor time so far."""
        self._process.tell("?")
        return float(self._process.hear()["cpu_s"])

    def close(self) -> None:
        """End it."""
        self._process.end()


@contextlib.contextmanager
def clients(
    seeds: Sequence[Place], getters: Sequence[Place], torrent: Torrent, folder: Path
) -> Iterator[tuple[list[Client], list[Client]]]:
    """A seed in each of the first places, and a getter in each of the others, all of them up."""
    folder.mkdir()
    made: list[Client] = []
    try:
        made += [Client(place, torrent) for place in seeds]
        for number, place in enumerate(getters):
            made.append(Client(place, torrent, folder / str(number)))
        for client in made:
            client.wait()
        yield made[: len(seeds)], made[len(seeds) :]
    finally:
        for client in made:
            client.close()
