"""Whether a peer that is online can be called with a part of all contacts dead, and how fast.

Peers that cannot be reached unasked register with the reachable nodes nearest to their ids. Then a
part of the reachable nodes is silenced, and every peer is called by others: at once, while the dead
registrars are not replaced yet, and again once each peer had time for one keepalive.
A call succeeds when the callee's signed answer is back; its time ends there (that the callee calls
us at the same moment, so that its own call goes on, is such an answer). `reregistered` counts
from the silence until a peer that lost registrars has its full number of answering ones again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol import limits
from protocol.addresses import Address
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.errors import CallCrossed, ModswarmError
from protocol.ice.candidates import CandidateKind
from protocol.identity import PeerId
from protocol.overlay.contacts import Contact
from protocol.signaling import Offer
from simulations.harness.options import latency_of, option
from simulations.harness.report import ExperimentReport, Say
from simulations.harness.statistics import mean, quantile
from simulations.residents.world import Resident, World, cipher_named, simulated_settings
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng, derive_seed

_SETTLE_S = 60.0
_WATCHED_S = 60.0
_WATCH_STEP_S = 0.25
_AT_ONCE = 50
_WHERE = IceCandidate(CandidateKind.HOST, Address("192.0.2.1", 9))
_DESCRIPTION = Description("ufrag", "p" * 22, bytes(32), DtlsRole.ACTPASS, (_WHERE,))


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(300, "nodes that can be reached, and so may be registrars")
    peers: int = option(300, "peers that cannot, and register")
    dead: tuple[float, ...] = option((0.0, 0.1, 0.3), "shares of silenced nodes")
    calls: int = option(4, "calls to each peer, at either time")
    cipher: str = option("real", "packet cipher: real or test", ("real", "test"))
    latency_matrix: Path | None = option(None, "file with measured round-trip times")


PARAMETERS = Parameters


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """Every share of dead nodes in a world of its own."""
    rows, seconds, hashes = [], {}, []
    for dead in parameters.dead:
        leg = _Leg(parameters, dead)
        row, log_hash = run_virtually(leg.run())
        rows.append(row)
        seconds[dead] = leg.seconds
        hashes.append(log_hash)
        say(f"{dead:.0%} dead: {row['success']:.3%} of calls, p50 {row['p50_s']} s")
    worst = max(rows, key=lambda row: float(row["dead"]))
    data = {
        "peers": parameters.peers,
        "success": worst["success"],
        "p50_s": worst["p50_s"],
        "p99_s": worst["p99_s"],
        "cipher": parameters.cipher,
        "results": rows,
    }
    combined = f"{derive_seed(0, *hashes):016x}"
    return ExperimentReport(data, lambda figure: _draw(figure, seconds, rows), combined)


@dataclass(frozen=True, slots=True)
class _Made:
    """One call: None for the time where it failed, and then why."""

    seconds: float | None
    failure: str = ""


class _Leg:
    """One world, one share of dead nodes."""

    def __init__(self, parameters: Parameters, dead: float) -> None:
        self.parameters = parameters
        self.dead = dead
        self.rng = derive_rng(parameters.seed, "calls")
        self.seconds: list[float] = []

    async def run(self) -> tuple[dict[str, Any], str]:
        """The row of the result, and the hash of the history."""
        await self._prepare()
        silenced = self._silence()
        watch = asyncio.create_task(self._watch(silenced), name="watch registrations")
        at_once = await self._call_all()
        reregistered = await watch
        repaired = await self._call_all()
        self.seconds = [one.seconds for one in at_once if one.seconds is not None]
        log_hash = self.world.internet.log.digest()
        await self.world.close()
        return self._row(at_once, repaired, reregistered), log_hash

    async def _prepare(self) -> None:
        """All nodes joined, and all peers registered, at different times."""
        parameters = self.parameters
        settings = simulated_settings(cipher=cipher_named(parameters.cipher))
        latency = latency_of(parameters.latency_matrix, parameters.seed)
        self.world = World(parameters.seed, latency=latency, settings=settings)
        await self.world.populate(parameters.nodes)
        self.nodes = list(self.world.residents)
        self.peers = [self.world.add(unreachable=True) for _ in range(parameters.peers)]
        for peer in self.peers:
            await peer.start()
            peer.running.callee.accept_calls(accept)
            await asyncio.sleep(limits.KEEPALIVE_S / parameters.peers)
        for peer in self.peers:
            await peer.running.registrations.registered.wait()
        await asyncio.sleep(_SETTLE_S)

    def _silence(self) -> set[PeerId]:
        count = round(self.dead * len(self.nodes))
        dead = derive_rng(self.parameters.seed, "dead").sample(self.nodes, count)
        for node in dead:
            node.host.unplug()
        return {node.identity.peer_id for node in dead}

    async def _watch(self, silenced: set[PeerId]) -> list[float]:
        """Seconds until each peer that lost registrars has all of them back."""
        started = self.world.loop.time()
        wanted = [one for one in self.peers if _answering(one, silenced) < limits.REGISTRARS]
        took: list[float] = []
        while self.world.loop.time() - started < _WATCHED_S:
            await asyncio.sleep(_WATCH_STEP_S)
            back = [one for one in wanted if _answering(one, silenced) >= limits.REGISTRARS]
            took += [self.world.loop.time() - started] * len(back)
            wanted = [one for one in wanted if one not in back]
        return took + [float("inf")] * len(wanted)

    async def _call_all(self) -> list[_Made]:
        """Each peer is called by random others, a batch at a time."""
        pairs = [
            (self.rng.choice([one for one in self.peers if one is not callee]), callee)
            for _ in range(self.parameters.calls)
            for callee in self.peers
        ]
        made: list[_Made] = []
        for start in range(0, len(pairs), _AT_ONCE):
            batch = pairs[start : start + _AT_ONCE]
            made += await asyncio.gather(
                *(caller.host.create_task(self._call(caller, callee)) for caller, callee in batch)
            )
        return made

    async def _call(self, caller: Resident, callee: Resident) -> _Made:
        started = self.world.loop.time()
        try:
            await caller.running.caller.call(callee.identity.peer_id, describe)
        except CallCrossed:
            pass
        except ModswarmError as error:
            return _Made(None, str(error))
        return _Made(self.world.loop.time() - started)

    def _row(
        self, at_once: Sequence[_Made], repaired: Sequence[_Made], reregistered: Sequence[float]
    ) -> dict[str, Any]:
        after = [one.seconds for one in repaired if one.seconds is not None]
        return {
            "dead": self.dead,
            "calls": len(at_once),
            "success": round(len(self.seconds) / len(at_once), 5),
            "p50_s": round(quantile(self.seconds, 0.5), 3),
            "p90_s": round(quantile(self.seconds, 0.9), 3),
            "p99_s": round(quantile(self.seconds, 0.99), 3),
            "success_repaired": round(mean([one.seconds is not None for one in repaired]), 5),
            "p50_repaired_s": round(quantile(after, 0.5), 3),
            "reregistered": len(reregistered),
            "reregistered_p50_s": round(quantile(reregistered, 0.5), 2),
            "reregistered_max_s": round(max(reregistered, default=0.0), 2),
            "failures": sorted({one.failure for one in (*at_once, *repaired) if one.failure}),
        }


def _answering(peer: Resident, silenced: set[PeerId]) -> int:
    registrars = peer.running.registrations.registrars
    return sum(contact.peer_id not in silenced for contact in registrars)


def describe(_registrars: Sequence[Contact]) -> Description:
    """The caller's side, to which no link leads either."""
    return _DESCRIPTION


async def accept(_offer: Offer) -> Description:
    """Answer any call, with a description to which no link leads."""
    return _DESCRIPTION


def _draw(figure: Any, seconds: dict[float, list[float]], rows: Sequence[dict[str, Any]]) -> None:
    """Cumulative distributions of the time to the answer, over all calls."""
    axes = figure.subplots()
    for row in rows:
        ordered = sorted(seconds[row["dead"]])
        shares = [100 * (place + 1) / row["calls"] for place in range(len(ordered))]
        label = f"{row['dead']:.0%} dead: {row['success']:.2%} answered, p50 {row['p50_s']:.2f} s"
        axes.plot(ordered, shares, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("time from the call to the callee's signed answer (virtual seconds)")
    axes.set_ylabel("answered (% of all calls)")
    axes.set_title("Calls to registered peers, right after a part of all contacts died")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small", loc="lower right")
