"""What a way without UDP costs: goodput and delays by TLS stream beside those by UDP relay.

In each world one person's network passes no UDP, or is behind a router of the kind that leaves
relays alone, and has links with two friends. Frames of 100 bytes go to the second friend, alone at
first and then beside a transfer to the first one, over a line with some loss.

A stream keeps order: one lost packet holds back all that follows it on all links until it has come
again, one round trip later at least (head-of-line blocking). By UDP it holds back its own link.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node.links.link import Link
from protocol.errors import StreamFailed
from simulations.experiments.parts.path_transfer import Transfer
from simulations.harness.options import option
from simulations.harness.report import ExperimentReport, Say
from simulations.harness.statistics import quantile
from simulations.internet import UniformLatency
from simulations.internet.lines import Access, Faults
from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import move_in, populate_publics, settle, try_link
from simulations.residents.sites import SITES
from simulations.residents.whole import WholeResident
from simulations.residents.world import World, simulated_settings
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng, derive_seed

WAYS: Final = {"stream": "blocked", "relay": "symmetric"}
"""The site of the person by the way that its links take."""
_FRIENDS: Final = "symmetric"
_ALONE: Final = 96
_BESIDE: Final = 97
"""Types of frames that the product does not use."""
_FRAME_BYTES: Final = 100
_FRAMES_S: Final = 20.0
_OPENED_S: Final = 5.0
"""Within this the callee has its end of a link, too."""
_ARRIVED_S: Final = 10.0
"""Within this the last frame is there."""
_BEGUN_S: Final = 2.0
"""After this a transfer has found the rate of its line."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(6, "public nodes of the overlay")
    loss: tuple[float, ...] = option((0.0, 0.001, 0.01, 0.03), "shares of packets lost each way")
    mb_s: float = option(2.5, "the rate of the person's line, in MB/s")
    rtt_ms: float = option(50.0, "round trip between any two places")
    seconds: float = option(20.0, "virtual seconds of each part")


PARAMETERS = Parameters


@dataclass(slots=True)
class Outcome:
    """What one world measured; rates are bytes a second, delays seconds one way."""

    way: str
    loss: float
    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    goodput: float = 0.0

    def row(self) -> dict[str, Any]:
        """The figures, as JSON."""
        delays = {
            f"{name}_{mark}_ms": round(1000 * quantile(found, share), 1)
            for name, found in (("alone", self.alone), ("beside", self.beside))
            for mark, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        }
        return {"way": self.way, "loss": self.loss, "goodput_mb_s": self.goodput / 1e6, **delays}


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """Each way at each loss, in a world of its own."""
    outcomes, hashes = [], []
    for loss in parameters.loss:
        for way in WAYS:
            outcome, log_hash = _run_world(parameters, way, loss)
            outcomes.append(outcome)
            hashes.append(log_hash)
            say(str(outcome.row()))
    data = {
        "mb_s": parameters.mb_s,
        "rtt_ms": parameters.rtt_ms,
        "rows": [one.row() for one in outcomes],
    }
    return ExperimentReport(
        data, lambda figure: _draw(figure, outcomes), f"{derive_seed(0, *hashes):016x}"
    )


def _run_world(parameters: Parameters, way: str, loss: float) -> tuple[Outcome, str]:
    with tempfile.TemporaryDirectory(prefix="modswarm-") as folder:
        return run_virtually(_world(parameters, way, loss, Path(folder)))


async def _world(
    parameters: Parameters, way: str, loss: float, folder: Path
) -> tuple[Outcome, str]:
    latency = UniformLatency(parameters.rtt_ms / 1000)
    settings = simulated_settings(streams=True)
    world = World(parameters.seed, latency=latency, settings=settings, folder=folder)
    rate = parameters.mb_s * 1_000_000
    with virtual_libraries(world.internet):
        await populate_publics(world, parameters.nodes, relay_rate=int(20 * rate))
        kinds = (WAYS[way], _FRIENDS, _FRIENDS)
        person, *friends = people = [move_in(world, SITES[kind]) for kind in kinds]
        await asyncio.gather(*map(settle, people))
        faults = Faults(loss=loss)
        world.internet.set_access(
            person.host, Access(rate, rate, faults_up=faults, faults_down=faults)
        )
        first, second = [await _linked(person, friend) for friend in friends]
        outcome = Outcome(way, loss)
        outcome.alone = await _delays(person, second, _ALONE, parameters.seconds)
        enough = asyncio.Event()
        transfer = Transfer(person, first, derive_rng(parameters.seed, "transfer"))
        running = asyncio.create_task(transfer.run(enough), name="transfer")
        outcome.beside = await _delays(person, second, _BESIDE, parameters.seconds)
        enough.set()
        trace = await running
        arrived = trace.bytes_between(_BEGUN_S, parameters.seconds)
        outcome.goodput = arrived / (parameters.seconds - _BEGUN_S)
        await world.close()
    return outcome, world.internet.log.digest()


async def _linked(person: WholeResident, friend: WholeResident) -> tuple[Link, Link]:
    told, link = await try_link(person, friend)
    if link is None:
        raise StreamFailed(told.failure)
    await asyncio.sleep(_OPENED_S)
    theirs = friend.running_node.pool.get(person.identity.peer_id)
    if theirs is None:
        raise StreamFailed("the friend never had its end of the link")
    return link, theirs


async def _delays(
    person: WholeResident, ends: tuple[Link, Link], kind: int, seconds: float
) -> list[float]:
    """How long small frames take one way, while they are sent regularly."""
    loop = asyncio.get_running_loop()
    sent: list[float] = []
    heard: list[float] = []
    ends[1].register(range(kind, kind + 1), lambda _: heard.append(loop.time()))
    # A list of two, the type and a binary with its length (MessagePack).
    frame = bytes((0x92, kind, 0xC4, _FRAME_BYTES)) + bytes(_FRAME_BYTES)
    with person.host.running():
        for _ in range(int(seconds * _FRAMES_S)):
            sent.append(loop.time())
            ends[0].send(frame)
            await asyncio.sleep(1 / _FRAMES_S)
    await asyncio.sleep(_ARRIVED_S)
    return [there - at for at, there in zip(sent, heard, strict=False)]


def _draw(figure: Any, outcomes: Sequence[Outcome]) -> None:
    """Goodput, and the delays of small frames, by loss."""
    rates, delays = figure.subplots(1, 2)
    for way in WAYS:
        mine = [one for one in outcomes if one.way == way]
        losses = [100 * one.loss for one in mine]
        rates.plot(losses, [one.goodput / 1e6 for one in mine], marker="o", label=f"by {way}")
        for name, style in (("alone", ":"), ("beside", "-")):
            p99 = [1000 * quantile(getattr(one, name), 0.99) for one in mine]
            delays.plot(losses, p99, style, marker="o", label=f"by {way}, {name}")
    rates.set_ylabel("goodput, MB/s")
    delays.set_ylabel("99 % of frames within, ms")
    for axes in (rates, delays):
        axes.set_xlabel("packets lost each way, %")
        axes.set_ylim(bottom=0)
        axes.legend()
