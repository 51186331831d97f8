"""The search by many probes: one side has many mappings, the other tries many ports.

A router of the kind RANDOM gives each of its node's sockets another external port. With
`limits.BIRTHDAY_SOCKETS` of these open towards the peer, the peer hits one after 256 probes in
78.3 % of all cases, after 512 in 95.3 %, after 1024 in 99.8 % (birthday paradox). So many datagrams
are sent only to an address that two witnesses saw (`protocol.punching.token`), rarely, and one
search at a time.
"""

from math import inf

from protocol import limits
from protocol.randomness import Random

_PORT_MIN = 1024
_NEAR = 512
"""Ports on either side of a sample that are probed first: routers that give each subscriber a block
of ports have all mappings of one there; of those that have none every port is as good."""


def ports_to_probe(rng: Random, near: int = 0) -> list[int]:
    """The ports to probe, all different, in their order; `near` is a port of the peer's, or 0."""
    close = range(max(_PORT_MIN, near - _NEAR), min(limits.PORT_MAX, near + _NEAR) + 1)
    nearest = list(close) if near else []
    _shuffle(nearest, rng)
    chosen = dict.fromkeys(nearest[: limits.BIRTHDAY_PROBES // 2])
    span = limits.PORT_MAX + 1 - _PORT_MIN
    while len(chosen) < limits.BIRTHDAY_PROBES:
        chosen[_PORT_MIN + rng.getrandbits(32) % span] = None
    return list(chosen)


def _shuffle(ports: list[int], rng: Random) -> None:
    for last in range(len(ports) - 1, 0, -1):
        other = rng.getrandbits(32) % (last + 1)
        ports[last], ports[other] = ports[other], ports[last]


class BirthdayProbes:
    """Probes that are due: BIRTHDAY_RATE a second from `started_at` on."""

    def __init__(self, ports: list[int], started_at: float) -> None:
        self._ports = ports
        self._started_at = started_at
        self._sent = 0

    @property
    def sent(self) -> int:
        """How many have been due so far."""
        return self._sent

    @property
    def next_at(self) -> float:
        """When the next probe is due; never after the last."""
        if self._sent == len(self._ports):
            return inf
        return self._started_at + self._sent / limits.BIRTHDAY_RATE

    def due(self, now: float) -> list[int]:
        """The ports to probe now; no more at once than two bursts of a late timer."""
        first = self._sent
        while self.next_at <= now and self._sent < first + _BURST_MAX:
            self._sent += 1
        return self._ports[first : self._sent]


_BURST_MAX = 16
