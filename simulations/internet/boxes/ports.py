"""Which outside port a new mapping gets (RFC 4787 4.2), and blocks of ports (RFC 6888)."""

import math
import random
from collections.abc import Callable
from typing import Final

from simulations.internet.addresses import UNPRIVILEGED_PORT_MIN, HostPort
from simulations.internet.boxes.behaviour import PORTS_ALL, NatBehaviour, PortAssignment

FOREIGN_MAX: Final = PORTS_ALL
"""Mappings of other users between two of ours that are told apart: after as many the counter has
gone round."""


class PortChooser:
    """Chooses the ports of one box; what it draws comes from `rng`."""

    def __init__(self, behaviour: NatBehaviour, rng: random.Random) -> None:
        self._behaviour = behaviour
        self._rng = rng
        self._blocks: dict[tuple[str, str], int] = {}
        self._counters: dict[int, tuple[int, float]] = {}

    def choose(
        self, source: HostPort, outside: str, now: float, is_taken: Callable[[HostPort], bool]
    ) -> HostPort | None:
        """The outside endpoint for an inside one, at this address; None if no port is left."""
        behaviour = self._behaviour
        low, size = UNPRIVILEGED_PORT_MIN, PORTS_ALL
        if behaviour.port_block:
            block = self._block_of(source[0], outside)
            if block is None:
                return None
            low, size = block, behaviour.port_block
        if behaviour.ports is PortAssignment.PRESERVED:
            kept = outside, source[1]
            in_reach = not behaviour.port_block or low <= source[1] < low + size
            if in_reach and not is_taken(kept):
                return kept
        is_counted = behaviour.ports is PortAssignment.SEQUENTIAL
        first = self._count(low, size, now) if is_counted else self._rng.randrange(size)
        step = behaviour.port_step if is_counted else 1
        for number in range(size):
            port = low + (first + number * step) % size
            if not is_taken((outside, port)):
                if is_counted:
                    self._counters[low] = (port - low + step) % size, now
                return outside, port
        return None

    def forget(self) -> None:
        """Begin anew, as a box that restarts."""
        self._blocks.clear()
        self._counters.clear()

    def _count(self, low: int, size: int, now: float) -> int:
        """Where the counter of a range stands, with what others took since our last mapping."""
        if low not in self._counters:
            return self._rng.randrange(size)
        position, at = self._counters[low]
        foreign = self._arrivals(self._behaviour.foreign_per_s * (now - at))
        return (position + foreign * self._behaviour.port_step) % size

    def _arrivals(self, expected: float) -> int:
        """How many came, of a Poisson process (Knuth's method; a normal one where many did)."""
        if expected <= 0.0:
            return 0
        if expected > 50.0:
            drawn = round(self._rng.gauss(expected, math.sqrt(expected)))
            return min(max(drawn, 0), FOREIGN_MAX)
        count, product, threshold = 0, self._rng.random(), math.exp(-expected)
        while product > threshold:
            count += 1
            product *= self._rng.random()
        return count

    def _block_of(self, inside: str, outside: str) -> int | None:
        """The first port of an inside address's block, drawn at its first mapping."""
        known = self._blocks.get((inside, outside))
        if known is not None:
            return known
        size = self._behaviour.port_block
        used = {low for (_, at), low in self._blocks.items() if at == outside}
        free = [
            low
            for low in range(UNPRIVILEGED_PORT_MIN, UNPRIVILEGED_PORT_MIN + PORTS_ALL, size)
            if low not in used and low + size <= UNPRIVILEGED_PORT_MIN + PORTS_ALL
        ]
        if not free:
            return None
        block = self._blocks[inside, outside] = self._rng.choice(free)
        return block
