"""A process with the shim preloaded, which breaks operations off and looks at what is left.

`LD_PRELOAD=disk_shim.so python -m tests.node.content.crashing.worker OPERATION FOLDER` prints a
line for each point where what is left is wrong, and last how many points there were of each way of
`WAYS`. What is killed runs in a process forked of this one, in which everything is imported; the
rest, and what looks at what is left, runs in this one: a process for each would take most of the
time, and show the same.
"""

import argparse
import errno
import json
import logging
import os
import random
import shutil
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from protocol import limits
from simulations.runtime.running import run_virtually
from tests.node.content.content_nodes import read_files
from tests.node.content.crashing import power_cut
from tests.node.content.crashing.crash_log import acknowledged, read_log
from tests.node.content.crashing.life import Operation, Steps
from tests.node.content.crashing.operations import OPERATIONS
from tests.node.content.crashing.shim import How, Shim

_LITTLE_RESERVE = 2**17
_DONE, _FAILED = 0, 1
_KILLED = -9


class Point(NamedTuple):
    """Where an operation is broken off; all that is needed to do so again."""

    number: int
    variant: str = ""


class Breaker:
    """Breaks one operation off, in worlds below `folder`."""

    def __init__(self, operation: Operation, folder: Path, seed: int) -> None:
        self._operation = operation
        self._before = folder / "before"
        self._world = folder / "world"
        self._disk = self._world / "disk"
        self._log = folder / "log"
        self._rng = random.Random(seed)
        self._shim = Shim()
        self._disk.mkdir(parents=True)
        run_virtually(operation.prepare(self._world))
        self._disk.rename(self._before)

    # Ways -----------------------------------------------------------------------------------

    def kill(self, points: int) -> Iterator[tuple[Point, str]]:
        """Kill it before its n-th operation on the disk, or in the middle of that; then again."""
        whole = self._count(How.KILL)
        for number in self._some(whole, points):
            variant = self._rng.choice(("", "half"))
            again = self._rng.choice((0, 0, self._rng.randint(1, whole)))
            self._new_disk()
            failure = self._killed_at(number, variant)
            if again:
                failure = failure or self._killed_at(again, variant)
            yield Point(number, f"{variant} {again}".strip()), failure or self._checked()

    def cut(self, points: int) -> Iterator[tuple[Point, str]]:
        """Cut the power after its n-th operation."""
        self._new_disk()
        model = power_cut.DiskModel(self._disk)
        self._run(How.LOG)
        log, written = list(read_log(self._log)), read_files(self._disk)
        chosen, notes = set(self._some(len(log), points)), list[str]()
        for number, one in enumerate(log, 1):
            model.play(one)
            if one.kind == "A":
                notes.append(one.data.decode())
            if number not in chosen:
                continue
            for variant in power_cut.VARIANTS:
                self._new_disk(is_empty=True)
                model.write_left(variant, self._rng, self._disk)
                yield Point(number, f"{variant} after {one.kind}"), self._checked(notes)
        assert model.seen() == written, "something was written past the shim"

    def fill(self, points: int) -> Iterator[tuple[Point, str]]:
        """Refuse its n-th operation that takes room, or all from that on, until it has failed.

        After some of these the power is cut once all is done: what a refusal left is safe as well.
        """
        whole = self._count(How.REFUSE)
        for number in self._some(whole, points):
            for how, variant in ((How.REFUSE, "one"), (How.REFUSE | How.STICKY | How.HALF, "all")):
                self._new_disk()
                model = power_cut.DiskModel(self._disk) if self._rng.random() < 0.5 else None
                failure = _tried(partial(self._run, how | (How.LOG if model else How(0)), number))
                if model is not None:
                    variant += " and cut"
                    self._cut(model)
                yield Point(number, variant), failure or self._checked()

    def _cut(self, model: power_cut.DiskModel) -> None:
        """Leave on the disk what was flushed of all that was done."""
        for one in read_log(self._log):
            model.play(one)
        log = self._log.read_bytes()
        self._new_disk(is_empty=True)
        model.write_left(power_cut.LOST, self._rng, self._disk)
        self._log.write_bytes(log)

    # Parts ----------------------------------------------------------------------------------

    def _some(self, whole: int, points: int) -> list[int]:
        numbers = range(1, whole + 1)
        return sorted(self._rng.sample(numbers, min(points, whole))) if points else list(numbers)

    def _new_disk(self, *, is_empty: bool = False) -> None:
        """The disk as it was before the operation; what is beside it in the world stays."""
        shutil.rmtree(self._disk, ignore_errors=True)
        if is_empty:
            self._disk.mkdir()
        else:
            shutil.copytree(self._before, self._disk)
        self._log.unlink(missing_ok=True)

    def _count(self, how: How) -> int:
        """How many operations there are in a whole run."""
        self._new_disk()
        return self._run(how)

    def _run(self, how: How, point: int = 0) -> int:
        steps = Steps(self._shim, is_refusing=bool(how & How.REFUSE and point))
        how |= How.NO_FLUSH
        self._shim.begin(self._disk, self._log, how, point, errno.ENOSPC)
        try:
            run_virtually(self._operation.run(self._world, steps))
        finally:
            count = self._shim.end()
        return count

    def _killed_at(self, number: int, variant: str) -> str:
        how = How.KILL | (How.HALF if variant else How(0))
        return _forked(partial(self._run, how, number))

    def _checked(self, notes: list[str] | None = None) -> str:
        """What is wrong with what is left; nothing if all is as it must be."""
        known = acknowledged(self._log) if notes is None else notes
        self._shim.begin(self._disk, os.devnull, How.NO_FLUSH)
        try:
            return _tried(lambda: run_virtually(self._operation.check(self._world, known)))
        finally:
            self._shim.end()


def _tried(work: Callable[[], object]) -> str:
    """Do some work; returns what it raised."""
    try:
        work()
    except Exception:  # noqa: BLE001 - it is told, and the next point is tried
        return traceback.format_exc()
    return ""


def _forked(work: Callable[[], object]) -> str:
    """Do some work in a process of its own, which may be killed; returns what it raised."""
    assert threading.active_count() == 1, "a process with threads cannot be forked safely"
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        failure = _tried(work)
        os.write(writer, failure.encode()[-60_000:])
        os._exit(_FAILED if failure else _DONE)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        failure = told.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (_DONE, _KILLED):
        return failure or f"the process ended with {status}"
    return failure


WAYS = ("kill", "cut", "fill")


def main() -> None:
    """Break an operation off as often as it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("operation", choices=OPERATIONS)
    parser.add_argument("folder", type=Path)
    for way in WAYS:
        parser.add_argument(f"--{way}", type=int, default=0, help="points; 0: every one")
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    limits.DISK_RESERVE = _LITTLE_RESERVE
    logging.getLogger().addHandler(logging.NullHandler())  # that disks are full is no news here
    breaker = Breaker(OPERATIONS[words.operation], words.folder, words.seed)
    points, failed = dict.fromkeys(WAYS, 0), False
    for way in WAYS:
        for point, failure in getattr(breaker, way)(getattr(words, way)):
            points[way] += 1
            if failure:
                failed = True
                told = {"way": way, "point": point, "failure": failure}
                sys.stdout.write(json.dumps(told) + "\n")
                sys.stdout.flush()
    sys.stdout.write(json.dumps({"points": points}) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
