"""Which simulated machine the processor works for: seconds of CPU by host, and by any other name.

The simulated network itself counts for no host. What the kernel would take is added instead: the
cost of a datagram that is sent, and of one that is read, as measured on loopback.
"""

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from simulations.internet.carrier import Carrier
from simulations.internet.host import Socket as SimulatedSocket
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.sleeping import current_host

_SECOND_NS = 1e9
_SAMPLES = 2000


class CpuMeter:
    """Charges the time of this thread to one payer at a time."""

    def __init__(self) -> None:
        self._spent_ns: Counter[object] = Counter()
        self._kernel_ns = _kernel_ns()
        self._payer: object = None
        self._since = time.thread_time_ns()

    def seconds(self, payer: object) -> float:
        """What has been charged to a payer."""
        return self._spent_ns[payer] / _SECOND_NS

    @contextlib.contextmanager
    def charging(self, payer: object) -> Iterator[None]:
        """While inside, `payer` pays."""
        before = self._switch(payer)
        try:
            yield
        finally:
            self._switch(before)

    def _switch(self, payer: object) -> object:
        now = time.thread_time_ns()
        self._spent_ns[self._payer] += now - self._since
        before, self._payer = self._payer, payer
        self._since = time.thread_time_ns()
        return before

    def passes_kernel(self, payer: object) -> None:
        """Charge a datagram that is sent or read."""
        self._spent_ns[payer] += self._kernel_ns

    @property
    def payer(self) -> object:
        """Who pays now."""
        return self._payer

    def run(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call it at the cost of the host in whose context it runs."""
        with self.charging(current_host.get()):
            callback(*args)


class MeteredLoop(VirtualLoop):
    """A virtual loop whose callbacks are charged to their hosts."""

    def __init__(self, meter: CpuMeter) -> None:
        super().__init__()
        self._meter = meter

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        """As asyncio's."""
        return super().call_soon(self._meter.run, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        """As asyncio's."""
        return super().call_at(when, self._meter.run, callback, *args, context=context)


@contextlib.contextmanager
def metered_network(meter: CpuMeter) -> Iterator[None]:
    """Until the block ends what arrives is charged to the receiving host, and sending to none."""
    send, deliver = Carrier.send, Carrier._deliver

    def free_send(carrier: Carrier, *args: Any) -> None:
        meter.passes_kernel(meter.payer)
        with meter.charging(None):
            send(carrier, *args)

    def charged_deliver(carrier: Carrier, packet: Any, port: SimulatedSocket) -> None:
        meter.passes_kernel(port.host)
        with meter.charging(port.host):
            deliver(carrier, packet, port)

    replaced = (("send", send, free_send), ("_deliver", deliver, charged_deliver))
    try:
        for name, _, function in replaced:
            setattr(Carrier, name, function)
        yield
    finally:
        for name, original, _ in replaced:
            setattr(Carrier, name, original)


def _kernel_ns() -> int:
    """Half of what it takes to send and read a datagram of 200 bytes on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.bind(("127.0.0.1", 0))
        to, datagram = port.getsockname(), bytes(200)
        began = time.thread_time_ns()
        for _ in range(_SAMPLES):
            port.sendto(datagram, to)
            port.recv(2048)
        return (time.thread_time_ns() - began) // (2 * _SAMPLES)
