"""S/Kademlia's abstract network: nodes are their tables, lookups are their disjoint paths.

The model of Baumgart & Mies (ICPADS 2007, section 5), from which their figure 4 follows:

- The network is static. Every bucket of every node holds k nodes drawn from the subtree that it
  covers, or all of them if there are no more.
- A lookup for an existing node deals the k nearest nodes that its initiator knows to d paths. In
  each step each path asks the nearest node it knows that no path has asked, and learns that node's
  k nearest; a path ends when it is told of the target, or has no node left to ask.
- An adversary misleads the lookup path that asks it. So a path succeeds if every node asked on it
  is honest, and a lookup if one of its paths does, or if the initiator knows the target itself.

Which nodes are adversaries does not change the paths, so one lookup answers for every share of
adversaries at once: the nodes are ranked at random, m adversaries are those of the m lowest ranks,
and the lookup outlasts as many as the lowest rank on its best path.
"""

import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest

from simulations.harness.statistics import mean

ID_BITS = 64
"""Enough for ids to be distinct; the shape of a tree of random ids does not depend on it."""

_STEPS_MAX = 64


class StaticNetwork:
    """`nodes` nodes with random ids and full tables of buckets of `k`. Nodes are numbers."""

    def __init__(self, nodes: int, k: int, rng: random.Random) -> None:
        if nodes < 2:
            raise ValueError("a network has two nodes at least")
        self.k = k
        drawn: dict[int, None] = {}
        while len(drawn) < nodes:
            drawn[rng.getrandbits(ID_BITS)] = None
        self._ids = sorted(drawn)
        self._tables = [self._draw_table(number, rng) for number in range(nodes)]

    def __len__(self) -> int:
        return len(self._ids)

    def _draw_table(self, number: int, rng: random.Random) -> list[int]:
        """The ids known to a node: k of each subtree that it is not in itself."""
        own = self._ids[number]
        table: list[int] = []
        low, high = 0, len(self._ids)
        for bit in range(ID_BITS - 1, -1, -1):
            if high - low == 1:
                break
            middle = bisect_left(self._ids, (own >> bit | 1) << bit, low, high)
            if own >> bit & 1:
                siblings, low = range(low, middle), middle
            else:
                siblings, high = range(middle, high), middle
            members = rng.sample(siblings, self.k) if len(siblings) > self.k else siblings
            table += [self._ids[member] for member in members]
        return table

    def id_of(self, number: int) -> int:
        """The id of a node; ids ascend with numbers."""
        return self._ids[number]

    def known_to(self, number: int) -> list[int]:
        """The ids in the table of a node."""
        return self._tables[number]

    def nearest(self, node_id: int, target: int) -> list[int]:
        """The k nearest ids to the id `target` in the table of the node with id `node_id`."""
        number = bisect_left(self._ids, node_id)
        return nsmallest(self.k, self._tables[number], key=target.__xor__)

    def paths(self, initiator: int, target: int, d: int) -> list[list[int] | None]:
        """The nodes that each of `d` disjoint lookup paths from `initiator` to `target` asks.

        None for a path that is never told of the target; all are empty if the initiator knows it.
        """
        source, wanted = self._ids[initiator], self._ids[target]
        known = self.nearest(source, wanted)
        if wanted in known:
            return [[] for _ in range(d)]
        paths = [_Path(known[place::d], wanted) for place in range(d)]
        taken = {source}
        for _ in range(_STEPS_MAX):
            open_paths = [path for path in paths if path.is_open]
            if not open_paths:
                break
            for path in open_paths:
                path.step(self, taken)
        return [path.asked if path.has_arrived else None for path in paths]


class _Path:
    """One of the disjoint paths of a lookup, by ids."""

    __slots__ = ("_candidates", "_target", "asked", "has_arrived", "is_open")

    def __init__(self, seeds: list[int], target: int) -> None:
        self._candidates = seeds
        self._target = target
        self.asked: list[int] = []
        self.is_open = True
        self.has_arrived = False

    def step(self, network: StaticNetwork, taken: set[int]) -> None:
        """Ask the nearest candidate that no path has asked."""
        free = [one for one in self._candidates if one not in taken]
        if not free:
            self.is_open = False
            return
        nearest = min(free, key=self._target.__xor__)
        taken.add(nearest)
        self.asked.append(nearest)
        named = network.nearest(nearest, self._target)
        if self._target in named:
            self.has_arrived, self.is_open = True, False
            return
        merged = dict.fromkeys(free + named)
        self._candidates = nsmallest(network.k, merged, key=self._target.__xor__)


def endurance(paths: Sequence[list[int] | None], others: int, rng: random.Random) -> int:
    """How many adversaries among the `others` this lookup outlasts, if they appear at random.

    Initiator and target are not among the others. -1 for a lookup that fails without any.
    """
    asked = sum(len(path) for path in paths if path)
    ranks = iter(rng.sample(range(others), asked))
    return max(
        (min((next(ranks) for _ in path), default=others) for path in paths if path is not None),
        default=-1,
    )


@dataclass(frozen=True, slots=True)
class Endurance:
    """Many lookups: what each outlasts, ascending, and how many nodes a path asks on average."""

    outlasted: list[int]
    others: int
    mean_path: float

    def success(self, share: float) -> float:
        """The share of lookups that succeed where this share of the others are adversaries."""
        failed = bisect_left(self.outlasted, round(share * self.others))
        return 1 - failed / len(self.outlasted)


def endure(network: StaticNetwork, d: int, lookups: int, rng: random.Random) -> Endurance:
    """Look up random nodes from random nodes, over `d` disjoint paths."""
    others = len(network) - 2
    outlasted: list[int] = []
    lengths: list[int] = []
    for _ in range(lookups):
        initiator, target = rng.sample(range(len(network)), 2)
        paths = network.paths(initiator, target, d)
        outlasted.append(endurance(paths, others, rng))
        lengths += [len(path) for path in paths if path is not None]
    return Endurance(sorted(outlasted), others, mean(lengths))
