"""How much of a shaped line one link fills, what delay it adds, and how alike several share it.

Every link goes from a machine of its own, with ICE, DTLS and SCTP as nodes have them, to one
machine whose line is the bottleneck: a rate, and a queue that drops what does not fit. A share is
of what the line could carry as data, which is less than its rate by all headers.
"""

import asyncio
import contextlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from node.links.channel.channel import Channel
from node.links.settings import DATA_PATHS, OWN_DATA_PATH
from simulations.harness.options import option
from simulations.harness.report import ExperimentReport, Say
from simulations.internet import Host, Internet, UniformLatency
from simulations.internet.lines import HEADERS_BYTES, Access, Faults
from simulations.libraries.seams import virtual_libraries
from simulations.residents.bare_links import LinkEnd, open_link
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.running import run_virtually

_BITS = 8
_MEGA = 1_000_000
_MESSAGE_BYTES = 64 * 1024
_MESSAGES_UNDER_WAY = 4
"""That is how many the line carries after the time that counts, so that one that was arriving is
there: what comes later counts for not arriving."""

_SAMPLE_S = 0.01
_PACKET_BYTES = 1432
PAYLOAD_SHARE = (_PACKET_BYTES - 28) / (_PACKET_BYTES + 37 + HEADERS_BYTES)
"""Of a full packet where 1500 bytes fit: data, without the bytes of SCTP, DTLS, UDP and IP."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    data_path: str = option(OWN_DATA_PATH, "which SCTP", choices=tuple(DATA_PATHS))
    mbps: float = option(100.0, "the line's rate, in Mbit/s")
    rtt_ms: float = option(50.0, "round trip without a queue")
    queue_ms: float = option(50.0, "what the line's queue holds")
    loss: float = option(0.0, "share of packets lost at random")
    reorder: float = option(0.0, "share of packets that come 10 ms late")
    flows: int = option(1, "links that share the line")
    stagger_s: float = option(1.0, "between the beginnings of links")
    warm_up_s: float = option(2.0, "after the last beginning, before anything counts")
    seconds: float = option(10.0, "what counts")
    pcap: Path | None = option(None, "file for the first link's SCTP packets (native only)")


PARAMETERS = Parameters


@dataclass(slots=True)
class Flow:
    """One link and what came of it."""

    sender: Channel
    receiver: Channel
    now: Callable[[], float]
    _arrived_at: list[float] = field(default_factory=list)

    def take(self, _message: bytes) -> None:
        """One more message arrived."""
        self._arrived_at.append(self.now())

    def received(self, until: float) -> float:
        """Bytes until then. A message that was arriving counts by its part: as a whole or not at
        all it would be .2 % of what 10 Mbit/s carry in 30 s.
        """
        messages = bisect_right(self._arrived_at, until)
        if 0 < messages < len(self._arrived_at):
            before, after = self._arrived_at[messages - 1 : messages + 1]
            return _MESSAGE_BYTES * (messages + (until - before) / (after - before))
        return _MESSAGE_BYTES * messages

    async def feed(self) -> None:
        """Send for ever, as fast as the channel takes it."""
        message = bytes(_MESSAGE_BYTES)
        while True:
            self.sender.send(message)
            await self.sender.drained()


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes of each flow in the time that counts, and the queue at all times (seconds each)."""

    received: list[float]
    delays: list[tuple[float, float]]
    counts_from_s: float
    log_hash: str


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """All flows over one line."""
    internet = Internet(VirtualLoop(), parameters.seed, UniformLatency(parameters.rtt_ms / 1000))
    with virtual_libraries(internet), _opened(parameters.pcap) as capture:
        measured = run_virtually(_measure(internet, parameters, capture), internet.loop)
    say(f"{internet.carrier.delivered} packets delivered")
    could = parameters.mbps * _MEGA / _BITS * parameters.seconds * PAYLOAD_SHARE
    shares = [received / could for received in measured.received]
    data = {
        "share": round(sum(shares), 4),
        "shares": [round(share, 4) for share in shares],
        "jain": round(jain(measured.received), 4),
        "worst_delay_ms": _worst_ms(measured.delays, 0.0),
        "steady_delay_ms": _worst_ms(measured.delays, measured.counts_from_s),
    }
    return ExperimentReport(data, lambda figure: _draw(figure, measured.delays), measured.log_hash)


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
    else:
        with path.open("wb") as file:
            yield file


def jain(received: Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all got alike, 1/n when one got all."""
    squares = sum(size * size for size in received)
    return sum(received) ** 2 / (len(received) * squares) if squares else 0.0


def _worst_ms(delays: list[tuple[float, float]], since: float) -> float:
    return round(1000 * max((delay for at, delay in delays if at >= since), default=0.0), 1)


async def _measure(
    internet: Internet, parameters: Parameters, capture: BinaryIO | None
) -> Measured:
    loop = internet.loop
    rate = parameters.mbps * _MEGA / _BITS
    line = Access(
        down_bytes_s=rate,
        queue_bytes=int(rate * parameters.queue_ms / 1000),
        faults_down=Faults(loss=parameters.loss, reorder=parameters.reorder),
    )
    receiver = internet.add_host("receiver", access=line)
    delays: list[tuple[float, float]] = []
    watching = loop.create_task(_watch(internet, receiver, delays))
    flows, feeding = [], []
    opened: list[LinkEnd] = []
    for number in range(parameters.flows):
        if number:
            await asyncio.sleep(parameters.stagger_s)
        sender = internet.add_host(f"sender{number}")
        ends, traced = (sender, receiver), None if number else capture
        link = await open_link(internet, ends, str(number), parameters.data_path, traced)
        opened += link
        flow = Flow(link[0].channel, link[1].channel, loop.time)
        flow.receiver.receiver = flow.take
        flows.append(flow)
        feeding.append(sender.create_task(flow.feed()))
    await asyncio.sleep(parameters.warm_up_s)
    counts_from_s = loop.time()
    counts_until_s = counts_from_s + parameters.seconds
    await asyncio.sleep(parameters.seconds + _MESSAGES_UNDER_WAY * _MESSAGE_BYTES / rate)
    received = [flow.received(counts_until_s) - flow.received(counts_from_s) for flow in flows]
    await _end([*feeding, watching], opened)
    return Measured(received, delays, counts_from_s, internet.log.digest())


async def _watch(internet: Internet, host: Host, delays: list[tuple[float, float]]) -> None:
    assert host.down is not None
    while True:
        now = internet.loop.time()
        delays.append((now, host.down.waiting_s(now)))
        await asyncio.sleep(_SAMPLE_S)


async def _end(tasks: list[asyncio.Task[None]], ends: list[LinkEnd]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await asyncio.gather(*(end.close() for end in ends))


def _draw(figure: Any, delays: list[tuple[float, float]]) -> None:
    axes = figure.subplots()
    axes.plot([at for at, _ in delays], [1000 * delay for _, delay in delays], linewidth=0.8)
    axes.set_xlabel("virtual seconds")
    axes.set_ylabel("wait in the line's queue (ms)")
    axes.set_title("One line, and what waits for it")
    axes.grid(visible=True, alpha=0.3)
