"""A TCP CUBIC flow for the model of a path: what our own flows share a bottleneck with.

RFC 9438 with fast convergence and the Reno-friendly region, HyStart's delay test (RFC 9406 without
its conservative phase), SACK-like loss detection (three later packets arrived), one reduction per
window, acknowledgement-clocked and unpaced as kernels do by default without fq.
"""

from collections import OrderedDict

from tests.protocol.sctp.model_link import Direction, World

PACKET_BYTES = 1500
PAYLOAD_BYTES = 1448
_C = 0.4
_BETA = 0.7
_REORDER_PACKETS = 3


class CubicFlow:
    """Sends for ever from `start`; `delivered` counts packets that arrived."""

    def __init__(self, world: World, forward: Direction, backward: Direction) -> None:
        self.world = world
        self._forward = forward
        self._backward = backward
        self.delivered = 0
        self.window = 10.0
        self._threshold = float("inf")
        self._next = 0
        self._flight: OrderedDict[int, float] = OrderedDict()
        self._recover = -1
        self._w_max = 0.0
        self._w_reno = 0.0
        self._k = 0.0
        self._epoch = -1.0
        self._min_rtt = float("inf")
        self._round_end = 0
        self._round_min = float("inf")
        self._heard_at = 0.0

    def start(self) -> None:
        """Begin."""
        self._heard_at = self.world.now
        self._send()
        self._watch()

    def _watch(self) -> None:
        if self._flight and self.world.now - self._heard_at > 1.0:
            self._flight.clear()
            self._threshold = max(self.window * _BETA, 2.0)
            self.window = 1.0
            self._epoch = -1.0
            self._heard_at = self.world.now
            self._send()
        self.world.at(self.world.now + 0.2, self._watch)

    def _send(self) -> None:
        while len(self._flight) < int(self.window):
            number = self._next
            self._next += 1
            self._flight[number] = self.world.now
            self._forward.send(PACKET_BYTES, lambda number=number: self._arrive(number))  # type: ignore[misc]

    def _arrive(self, number: int) -> None:
        self.delivered += 1
        self._backward.send(60, lambda: self._acknowledge(number))

    def _acknowledge(self, number: int) -> None:
        sent_at = self._flight.pop(number, None)
        self._heard_at = self.world.now
        if sent_at is None:
            return
        rtt = self.world.now - sent_at
        self._min_rtt = min(self._min_rtt, rtt)
        self._hystart(number, rtt)
        self._find_losses(number)
        if number > self._recover:
            self._grow(rtt)
        self._send()

    def _hystart(self, number: int, rtt: float) -> None:
        if number >= self._round_end:
            self._round_end = self._next
            self._round_min = float("inf")
        self._round_min = min(self._round_min, rtt)
        slack = min(max(self._min_rtt / 8, 0.004), 0.016)
        if self.window < self._threshold and self._round_min > self._min_rtt + slack:
            self._threshold = self.window

    def _find_losses(self, number: int) -> None:
        lost = []
        for candidate in self._flight:
            if candidate > number - _REORDER_PACKETS:
                break
            lost.append(candidate)
        for candidate in lost:
            del self._flight[candidate]
        if lost and lost[-1] > self._recover:
            self._reduce()

    def _reduce(self) -> None:
        self._recover = self._next - 1
        shrinking = self.window < self._w_max
        self._w_max = self.window * (1 + _BETA) / 2 if shrinking else self.window
        self.window = max(self.window * _BETA, 2.0)
        self._threshold = self.window
        self._epoch = -1.0

    def _grow(self, rtt: float) -> None:
        if self.window < self._threshold:
            self.window += 1
            return
        now = self.world.now
        if self._epoch < 0:
            self._epoch = now
            self._w_reno = self.window
            self._w_max = max(self._w_max, self.window)
            self._k = ((self._w_max - self.window) / _C) ** (1 / 3)
        self._w_reno += 3 * (1 - _BETA) / (1 + _BETA) / self.window
        target = self._w_max + _C * (now - self._epoch + rtt - self._k) ** 3
        target = min(max(target, self.window), 1.5 * self.window)
        self.window += (target - self.window) / self.window
        self.window = max(self.window, self._w_reno)
