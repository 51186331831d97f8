"""Every pair of networks: who calls whom, in which order, and what comes of it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from protocol.addresses import split_host_port
from protocol.errors import ModswarmError
from protocol.punching import pairs as punching
from scripts.lab.kinds import Kind, Twosome
from scripts.lab.net.topology import Host
from scripts.lab.nodes import LabNode
from scripts.lab.ways import Way, may_search, means, predicted, predicted_near, way_of

_CALLEE_S = 2.0
_POLL_S = 0.05

SETTLE_S = 10.0
"""A link may be relayed at first: so long its direct path is waited for. A search by many probes
takes up to `limits.BIRTHDAY_PROBES` at `limits.BIRTHDAY_RATE`, and its witnesses up to 3 s more."""

MISSED_ONE_IN = 5

STAGGER_S = 0.4
"""Between two calls of a round, so that they do not wait for each other's processor time."""


NEAR = "near"
"""What means two hosts that see each other's inner addresses, or would without isolation."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two hosts, by name, and the way that their link must go."""

    caller: str
    callee: str
    expected: Way
    means: str
    """How the ends must meet, as the table of kinds names it, or NEAR."""
    paced: bool = False
    """Whether an end may try many ports, which a node does only so often."""

    @property
    def searches(self) -> bool:
        """Whether one end must send to many ports."""
        return self.means == punching.Way.BIRTHDAY.value


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a pair's call."""

    pair: Pair
    way: Way
    """The way that it goes in the end."""
    took_ms: float
    """From the call until the link was open."""
    link: dict[str, Any] | None = None
    """The caller's view of the link."""
    direct_ms: float | None = None
    """From the call until a link that was relayed at first was direct."""
    callee_way: Way | None = None
    """The way that the callee sees, None if it has no such link."""
    failure: dict[str, Any] | None = None
    strange: str | None = None
    """The remote address, if the callee has no such address for this caller."""

    @property
    def right(self) -> bool:
        """Whether the link went the way that it must, in the eyes of both ends."""
        return self.way is self.pair.expected and self._agreed and self.strange is None

    @property
    def missed(self) -> bool:
        """Whether a relay carries the link as a search found no port."""
        return self.pair.searches and self.way is Way.RELAYED and self._agreed

    @property
    def _agreed(self) -> bool:
        return self.callee_way is self.way or self.way is Way.NONE


def faults_of(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that went another way than they must.

    Of the searches one in MISSED_ONE_IN may miss.
    """
    searched = [one for one in outcomes if one.pair.searches]
    missed = [one for one in searched if one.missed]
    excused = missed if len(missed) <= max(1, len(searched) // MISSED_ONE_IN) else []
    return [one for one in outcomes if not one.right and one not in excused]


def rounds(kinds: Sequence[Kind], twosomes: Sequence[Twosome]) -> Iterator[list[Pair]]:
    """All ordered pairs; in each round every host calls, or is called, at most once.

    Pairs that may search for a port have rounds of their own, among the others: a node does that
    only so often.
    """
    turns = [[*kinds[shift:], *kinds[:shift]] for shift in range(len(kinds))]
    all_pairs = [
        Pair(
            f"{caller.name}.a",
            f"{callee.name}.b",
            predicted(caller, callee),
            means(caller, callee),
            may_search(caller, callee),
        )
        for turn in turns
        for caller, callee in zip(kinds, turn, strict=True)
    ]
    all_pairs += [
        Pair(f"{two.name}.a", f"{two.name}.b", predicted_near(two), _apart(two)) for two in twosomes
    ]
    searching = _in_rounds([pair for pair in all_pairs if pair.paced])
    others = _in_rounds([pair for pair in all_pairs if not pair.paced])
    for number, one in enumerate(others):
        yield one
        due = (number + 1) * len(searching) // len(others)
        yield from searching[number * len(searching) // len(others) : due]
    if not others:
        yield from searching


def _apart(two: Twosome) -> str:
    """Twins have the same inner addresses and are near one another in nothing else."""
    return punching.Way.PUNCH.value if two.twin else NEAR


def _in_rounds(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The same pairs, in as few rounds as simply found."""
    left, found = list(pairs), []
    while left:
        taken: list[Pair] = []
        busy: set[str] = set()
        for pair in left:
            if busy.isdisjoint({pair.caller, pair.callee}):
                taken.append(pair)
                busy |= {pair.caller, pair.callee}
        found.append(taken)
        left = [pair for pair in left if pair not in taken]
    return found


def run(nodes: Mapping[str, LabNode], pairs: Sequence[Pair]) -> list[Outcome]:
    """Let all these call, one shortly after the other; waits for all."""
    workers = ThreadPoolExecutor(len(pairs))
    try:
        begun = []
        for pair in pairs:
            ends = nodes[pair.caller], nodes[pair.callee]
            begun.append(workers.submit(call, *ends, pair))
            time.sleep(STAGGER_S)
        return [one.result() for one in begun]
    finally:
        # After Ctrl-C the calls end with their nodes, and nothing may wait for them before that.
        workers.shutdown(wait=False, cancel_futures=True)


def call(caller: LabNode, callee: LabNode, pair: Pair) -> Outcome:
    """Open one link and look at it from both ends."""
    begun = time.monotonic()
    try:
        link = caller.connect(callee).result()
    except ModswarmError as failure:
        told = {
            "name": type(failure).__name__,
            "message": str(failure),
            "details": str(getattr(failure, "details", "") or ""),
        }
        return Outcome(pair, Way.NONE, _since(begun), failure=told)
    took_ms, direct_ms = _since(begun), None
    if way_of(link["path"]) is Way.RELAYED and pair.expected is Way.DIRECT:
        better = _improved(caller, callee)
        if better is not None:
            link, direct_ms = better, _since(begun)
    way = way_of(link["path"])
    callee_way = _seen_by(callee, caller, way)
    strange = strange_remote(pair, callee.host, link) if way is Way.DIRECT else None
    return Outcome(pair, way, took_ms, link, direct_ms, callee_way, strange=strange)


def _improved(caller: LabNode, callee: LabNode) -> dict[str, Any] | None:
    """The caller's view of a relayed link, once it has become direct."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        time.sleep(_POLL_S)
        link = caller.link_to(callee)
        if link is None:
            return None
        if way_of(link["path"]) is Way.DIRECT:
            return link
    return None


def strange_remote(pair: Pair, callee: Host, link: dict[str, Any]) -> str | None:
    """The remote address of a direct link, if it is none by which the caller can mean the callee.

    An inner address means the callee only in its own network.
    """
    host = split_host_port(link["remote_address"])[0]
    own = {callee.external, callee.v6} | ({callee.v4} if pair.means == NEAR else set())
    return None if host in own else host


def _seen_by(callee: LabNode, caller: LabNode, way: Way) -> Way | None:
    """The way that the callee sees, which opens, or changes, a little later there."""
    deadline = time.monotonic() + _CALLEE_S
    while True:
        seen = callee.link_to(caller)
        found = way_of(seen["path"]) if seen else None
        if found is way or time.monotonic() > deadline:
            return found
        time.sleep(_POLL_S)


def _since(begun: float) -> float:
    return round((time.monotonic() - begun) * 1000, 1)
