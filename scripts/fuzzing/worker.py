"""One half of a fuzzing run: libFuzzer calls `_Half.take` until its time is over, and then exits.

An exception that no rule allows does not end the run: the input is kept, once for each place that
raised, and the fuzzer goes on.
"""

import hashlib
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

from scripts.fuzzing.memory import Memory

with atheris.instrument_imports(include=["protocol", "node.overlay", "node.net"]):
    from simulations.fuzzing import decoders, node

VECTORS = Path(__file__).parents[2] / "tests" / "vectors" / "fuzz"
INPUT_BYTES = 4096


class _Half:
    """Feeds inputs, keeps what breaks, and counts objects to see whether memory is flat."""

    def __init__(self, work: Path, seconds: float) -> None:
        self.work = work
        self.found: dict[str, str] = {}
        self.memory = Memory(seconds)

    def take(self, data: bytes) -> None:
        """One input of libFuzzer."""
        name, rest, play = self.choose(data)
        try:
            play(rest)
        except Exception as error:  # noqa: BLE001 (any exception is a finding)
            self._keep(name, rest, error)
            self.broken()
        if self.memory.is_due():
            self.memory.count()
            self._report()

    def choose(self, data: bytes) -> tuple[str, bytes, Callable[[bytes], object]]:
        """The code under test for one input: its name, the bytes left for it, and the call."""
        raise NotImplementedError

    def broken(self) -> None:
        """Make a new target after an input that broke it."""

    def seeds(self) -> list[bytes]:
        """The first inputs of a corpus."""
        raise NotImplementedError

    def _keep(self, name: str, data: bytes, error: Exception) -> None:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        place = traceback.extract_tb(cause.__traceback__)[-1]
        where = f"{name}: {type(cause).__name__} at {Path(place.filename).name}:{place.lineno}"
        if where in self.found:
            return
        folder = VECTORS / name.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.bin"
        path.write_bytes(data)
        self.found[where] = str(path)
        print(where, file=sys.stderr)
        traceback.print_exception(error)
        self._report()

    def _report(self) -> None:
        told = {"found": sorted(self.found), **self.memory.figures()}
        (self.work / "figures.json").write_text(json.dumps(told))


class _Decoders(_Half):
    _names = sorted(decoders.DECODERS)

    def choose(self, data: bytes) -> tuple[str, bytes, Callable[[bytes], object]]:
        name = self._names[(data[0] if data else 0) % len(self._names)]
        return name, data[1:], lambda rest: decoders.feed(name, rest)

    def seeds(self) -> list[bytes]:
        return [
            bytes((number,)) + seed
            for number, name in enumerate(self._names)
            for seed in decoders.DECODERS[name].seeds
        ]


class _Node(_Half):
    def __init__(self, work: Path, seconds: float) -> None:
        super().__init__(work, seconds)
        self._fire = node.FuzzedNode()

    def choose(self, data: bytes) -> tuple[str, bytes, Callable[[bytes], object]]:
        return "node", data, self._fire.feed

    def broken(self) -> None:
        self._fire = node.FuzzedNode()

    def seeds(self) -> list[bytes]:
        return list(node.SEEDS)


_HALVES: dict[str, type[_Half]] = {"decoders": _Decoders, "node": _Node}


def main(half: str, seconds: str, folder: str) -> None:
    """Fuzz one half for so long. Does not return: libFuzzer ends the process."""
    work = Path(folder)
    corpus, seeds = work / "corpus", work / "seeds"
    for needed in (corpus, seeds):
        needed.mkdir(parents=True, exist_ok=True)
    fuzzed = _HALVES[half](work, float(seconds))
    for number, seed in enumerate(fuzzed.seeds()):
        (seeds / f"{number}").write_bytes(seed)
    options: list[Any] = [
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES}",
        "-timeout=20",
        "-rss_limit_mb=2000",
        "-print_final_stats=1",
        f"-artifact_prefix={work}/",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(seeds)], fuzzed.take)
    atheris.Fuzz()


main(*sys.argv[1:])
