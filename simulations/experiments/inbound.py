"""Does one node take many calls a second: how many callers get a link, and how soon.

Callers in networks of their own call one node in turn, at random times, and close each link as soon
as it is open. The callee stands behind a box, so registrars forward every call.
"""

import asyncio
import contextlib
import itertools
import random
import tempfile
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol.addresses import Address
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.errors import ModswarmError
from protocol.ice.candidates import CandidateKind
from protocol.identity import Identity, PeerId
from protocol.noise_session import EPHEMERAL_BYTES, ephemeral_key
from protocol.signaling import Offer
from simulations.harness.options import latency_of, option
from simulations.harness.report import ExperimentReport, Say
from simulations.harness.statistics import quantile
from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import move_in, populate_publics, settle
from simulations.residents.sites import SITES
from simulations.residents.whole import WholeResident
from simulations.residents.world import JOIN_SPACING_S, World
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng

_LIMIT_S = 60.0
_WATCH_S = 0.01
_STALLING = 128


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(24, "public nodes of the overlay")
    networks: int = option(300, "callers, each in a network of its own")
    rate: float = option(50.0, "calls a second of all of them together")
    seconds: float = option(60.0, "how long they go on, in virtual seconds")
    stalls: float = option(0.0, "calls a second, besides, that nothing follows, of 128 identities")
    callee: str = option("port-restricted", "what the callee is behind", list(SITES))
    latency_matrix: Path | None = option(None, "file with measured round-trip times")


PARAMETERS = Parameters


@dataclass(slots=True)
class _Tally:
    """What came of the calls, and the most that the callee held at a time."""

    seconds: list[float] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    attempts_max: int = 0
    links_max: int = 0
    counts: dict[str, int] = field(default_factory=dict)


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """One world, one callee."""
    with tempfile.TemporaryDirectory(prefix="modswarm-") as folder:
        tally, log_hash = run_virtually(_world(parameters, Path(folder), say))
    return ExperimentReport(_data(tally), lambda figure: _draw(figure, tally), log_hash)


async def _world(parameters: Parameters, folder: Path, say: Say) -> tuple[_Tally, str]:
    latency = latency_of(parameters.latency_matrix, parameters.seed)
    world = World(parameters.seed, latency=latency, folder=folder)
    tally = _Tally()
    with virtual_libraries(world.internet):
        await populate_publics(world, parameters.nodes)
        callee = move_in(world, SITES[parameters.callee])
        await settle(callee)
        callers = await _settled(world, parameters.networks)
        say(f"{len(callers)} callers are there")
        watching = asyncio.create_task(_watch(callee, tally))
        stalling = asyncio.create_task(_stall(callee, parameters))
        async with asyncio.TaskGroup() as tasks:
            rng = derive_rng(parameters.seed, "times of calls")
            for at, place in _times(rng, parameters.rate, parameters.seconds, len(callers)):
                tasks.create_task(_call(callers[place], callee, at, tally))
        watching.cancel()
        stalling.cancel()
        tally.counts = dict(sorted(callee.running_node.pool.counts.items()))
        await world.close()
    return tally, world.internet.log.digest()


async def _settled(world: World, count: int) -> list[WholeResident]:
    """As many public nodes, joined."""
    found = [move_in(world, SITES["public"]) for _ in range(count)]
    for one in found:
        await one.start()
        await asyncio.sleep(JOIN_SPACING_S)
    for one in found:
        await one.running.joined.wait()
    return found


def _times(
    rng: random.Random, rate: float, seconds: float, callers: int
) -> list[tuple[float, int]]:
    """When each call comes, and of which caller: each in its turn, at random times."""
    moments = sorted(rng.uniform(0.0, seconds) for _ in range(int(rate * seconds)))
    return [(at, number % callers) for number, at in enumerate(moments)]


async def _call(caller: WholeResident, callee: WholeResident, at: float, tally: _Tally) -> None:
    """Call at a time, from now, and close the link."""
    await asyncio.sleep(at)
    loop = caller.world.loop
    started = loop.time()
    try:
        async with asyncio.timeout(_LIMIT_S):
            with caller.host.running():
                link = await caller.running_node.pool.connect(callee.identity.peer_id)
                tally.seconds.append(loop.time() - started)
                await link.close("only a call")
    except (ModswarmError, TimeoutError) as error:
        reason = str(error) or f"nothing came of it within {_LIMIT_S:g} s"
        tally.lost[reason.partition(";")[0]] += 1


async def _stall(callee: WholeResident, parameters: Parameters) -> None:
    """Offers that are all right, of identities in turn, whose authors send nothing after them."""
    rng = derive_rng(parameters.seed, "stalling callers")
    keys = [Identity(rng.randbytes(32)).public_key for _ in range(_STALLING)]
    pool = callee.running_node.pool
    async with asyncio.TaskGroup() as calls:
        for key in itertools.cycle(keys):
            if not parameters.stalls:
                return
            await asyncio.sleep(1 / parameters.stalls)
            with callee.host.running():
                offer = _stalling_offer(rng, key, callee.identity.peer_id)
                calls.create_task(_refused_or_not(pool.answer(offer)))


def _stalling_offer(rng: random.Random, key: bytes, callee_id: PeerId) -> Offer:
    """It names an address of a network of its own, at which nothing answers."""
    address = Address(f"5.{rng.randrange(256)}.{rng.randrange(256)}.1", 9)
    described = Description(
        rng.randbytes(4).hex(),
        rng.randbytes(12).hex(),
        rng.randbytes(32),
        DtlsRole.ACTPASS,
        (IceCandidate(CandidateKind.HOST, address),),
        session=ephemeral_key(rng.randbytes(EPHEMERAL_BYTES)),
    )
    return Offer(key, callee_id, rng.randbytes(16), 0, described, rng.randbytes(32))


async def _refused_or_not(answer: Awaitable[Description]) -> None:
    with contextlib.suppress(ModswarmError):
        await answer


async def _watch(callee: WholeResident, tally: _Tally) -> None:
    pool = callee.running_node.pool
    while True:
        tally.attempts_max = max(tally.attempts_max, len(pool.answering))
        tally.links_max = max(tally.links_max, len(pool.links()))
        await asyncio.sleep(_WATCH_S)


def _data(tally: _Tally) -> dict[str, Any]:
    lost = sum(tally.lost.values())
    return {
        "calls": len(tally.seconds) + lost,
        "lost": lost,
        "p50_s": round(quantile(tally.seconds, 0.5), 3),
        "p95_s": round(quantile(tally.seconds, 0.95), 3),
        "attempts_max": tally.attempts_max,
        "links_max": tally.links_max,
        "why_lost": dict(tally.lost.most_common()),
        "counts": tally.counts,
    }


def _draw(figure: Any, tally: _Tally) -> None:
    """How many callers had their link how soon."""
    axes = figure.subplots()
    times = sorted(tally.seconds)
    calls = len(times) + sum(tally.lost.values())
    axes.step(times, [100 * (place + 1) / calls for place in range(len(times))], where="post")
    axes.set_xlabel("time from the call to the open link (virtual seconds)")
    axes.set_ylabel("callers that have their link (%)")
    axes.set_ylim(0, 102)
    axes.set_title(f"{len(times)} of {calls} calls to one node got a link")
    axes.grid(visible=True, alpha=0.3)
