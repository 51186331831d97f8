"""Does a flooded node still look things up, and stay small: real sockets and clock, on loopback.

First the flood goes to an asyncio socket with an empty handler, to show what this machine can take
at all; then garbage, forged datagrams and valid requests under ever new keys (`unknown_keys`) go,
each at the same rate, to a node whose lookups are timed before and during it.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from protocol.addresses import Address
from protocol.errors import BadInput
from protocol.overlay.contacts import Contact
from simulations.flooding.flooder import KINDS
from simulations.harness import extras
from simulations.harness.options import option
from simulations.harness.report import ExperimentReport, Say

_HEAD_START_S = 1.0
_VICTIM, _OTHERS, _EMPTY = "127.0.1.1", "127.0.2.1", "127.0.3.1"


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run. Real nodes draw from the system: the seed decides the flood's bytes alone."""

    seed: int = option(1, "the seed of the flood")
    nodes: int = option(24, "nodes besides the flooded one")
    rate: float = option(48_000.0, "datagrams a second")
    seconds: float = option(8.0, "of each flood")
    kinds: tuple[str, ...] = option(tuple(KINDS), "what to flood with", tuple(KINDS))


PARAMETERS = Parameters


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """An empty handler, then each kind against a node."""
    if parameters.rate <= 0 or parameters.seconds <= _HEAD_START_S:
        raise BadInput(f"a flood has a rate, and lasts more than {_HEAD_START_S:g} s")
    extras.require("psutil")
    empty = _flood_nothing(parameters)
    say(f"empty handler: {empty['handled_per_s']} a second")
    rows = []
    for kind in parameters.kinds:
        rows.append(_flood_a_node(parameters, kind))
        say(f"{kind}: lookups take {rows[-1]['slowdown']} times as long")
    data = {"rate": parameters.rate, "empty": empty, "floods": rows}
    return ExperimentReport(data, lambda figure: _draw(figure, rows), "")


class _Role:
    """A process that talks in lines of JSON."""

    def __init__(self, role: str, *words: object) -> None:
        command = [sys.executable, "-P", "-m", f"simulations.flooding.{role}", *map(str, words)]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and words, no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def say(self, what: object) -> None:
        assert self._process.stdin is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)

    def hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BadInput(f"a process ended: {' '.join(map(str, self._process.args))}")  # type: ignore[arg-type]
        return json.loads(line)

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextlib.contextmanager
def _role(role: str, *words: object) -> Iterator[_Role]:
    started = _Role(role, *words)
    try:
        yield started
    finally:
        started.end()


def _flood_nothing(parameters: Parameters) -> dict[str, Any]:
    seconds = parameters.seconds - _HEAD_START_S
    with _role("empty", _EMPTY, seconds) as empty:
        target = Contact.at(bytes(32), Address(_EMPTY, empty.hear()))
        with _flooder(parameters, target, "garbage") as flooder:
            flooder.say("go")
            empty.say("go")
            return {**empty.hear(), **flooder.hear()}


def _flooder(
    parameters: Parameters, target: Contact, kind: str
) -> contextlib.AbstractContextManager[_Role]:
    words = (target.packed.hex(), kind, parameters.rate, parameters.seconds, parameters.seed)
    flooder = _role("flooder", *words)
    return _ready(flooder)


@contextlib.contextmanager
def _ready(flooder: contextlib.AbstractContextManager[_Role]) -> Iterator[_Role]:
    with flooder as started:
        started.hear()
        yield started


def _flood_a_node(parameters: Parameters, kind: str) -> dict[str, Any]:
    seconds = parameters.seconds - _HEAD_START_S
    with _role("nodes", parameters.nodes, _OTHERS) as others, _role("nodes", 1, _VICTIM) as victim:
        others.say([])
        victim.say(others.hear())
        (packed,) = victim.hear()
        victim.say(seconds)
        before = victim.hear()
        with _flooder(parameters, Contact(bytes.fromhex(packed)), kind) as flooder:
            flooder.say("go")
            victim.say(seconds)
            during = victim.hear()
            sent = flooder.hear()
    return {
        "kind": kind,
        **sent,
        "slowdown": round(during["p50_s"] / before["p50_s"], 2),
        "grown_MB": round(during["rss_MB"] - before["rss_MB"], 1),
        "before": before,
        "during": during,
    }


def _draw(figure: Any, rows: list[dict[str, Any]]) -> None:
    left, right = figure.subplots(1, 2)
    kinds = [row["kind"] for row in rows]
    for offset, when in ((-0.2, "before"), (0.2, "during")):
        places = [number + offset for number in range(len(rows))]
        left.bar(places, [1e3 * row[when]["p50_s"] for row in rows], 0.4, label=f"{when} the flood")
        right.bar(places, [row[when]["rss_MB"] for row in rows], 0.4, label=f"{when} the flood")
    for axes, label in ((left, "lookup, median (ms)"), (right, "memory of the node (MB)")):
        axes.set_xticks(range(len(rows)), kinds)
        axes.set_xlabel("flood of")
        axes.set_ylabel(label)
        axes.grid(visible=True, axis="y", alpha=0.3)
        axes.margins(y=0.25)
        axes.legend(loc="upper left", ncols=2)
    left.set_yscale("log")
    figure.suptitle(
        f"A node under {rows[0]['sent_per_s'] if rows else 0} unwanted datagrams a second"
    )
