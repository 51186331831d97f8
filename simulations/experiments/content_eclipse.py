"""Whether sybils around one key are noticed, and whether the records that they hide are found.

For each attacked key, sybils nearer to it than any honest node join, name one another only,
confirm stores and registrations, and keep nothing. Honest nodes then judge the key by the density
of contacts around it (Sridhar et al., NDSS 2024), read a record that was stored before the attack,
publish and read another one during it, and call a peer that registered during it. `captured` is the
share of plain lookups that found nothing but sybils, and `detected_of_captured` the share of these
in which the observer noticed: where honest nodes are still found, there is less to notice.
`read_without` is what the attack would achieve: the share of plain reads that find a record stored
during it at the nearest contacts alone. False alarms are counted over random keys that
are not attacked.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol import records
from protocol.addresses import Address
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.errors import CallCrossed, ModswarmError
from protocol.ice.candidates import CandidateKind
from protocol.overlay import sybil_detection
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Found
from protocol.records import ProviderBody, Record
from protocol.signaling import Offer
from simulations.attacks.attackers import ColludingNode, Collusion, sybils_near
from simulations.harness.options import latency_of, option
from simulations.harness.report import ExperimentReport, Say
from simulations.harness.statistics import mean, quantile
from simulations.residents.world import Resident, World, cipher_named, simulated_settings
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng

_SETTLE_S = 30.0
_AT_ONCE = 40
_WHERE = IceCandidate(CandidateKind.HOST, Address("192.0.2.1", 9))
_DESCRIPTION = Description("ufrag", "p" * 22, bytes(32), DtlsRole.ACTPASS, (_WHERE,))


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(300, "honest nodes")
    keys: int = option(20, "attacked keys of records, one after another")
    peers: int = option(20, "attacked peers that register, one after another")
    sybils: int = option(45, "sybils around each")
    observers: int = option(10, "honest nodes that judge, read or call each")
    plain: int = option(1000, "keys that are not attacked, judged once each")
    cipher: str = option("real", "packet cipher: real or test", ("real", "test"))
    latency_matrix: Path | None = option(None, "file with measured round-trip times")


PARAMETERS = Parameters


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """All attacks in one world."""
    attacks = _Attacks(parameters, say)
    data, log_hash = run_virtually(attacks.run())
    return ExperimentReport(data, lambda figure: _draw(figure, parameters, attacks, data), log_hash)


@dataclass(slots=True)
class _Tally:
    """What honest nodes came to, over all attacks of one kind."""

    detected: list[bool] = field(default_factory=list)
    captured: list[bool] = field(default_factory=list)
    read_old: list[bool] = field(default_factory=list)
    read_without: list[bool] = field(default_factory=list)
    read_new: list[bool] = field(default_factory=list)
    called: list[bool] = field(default_factory=list)
    call_s: list[float] = field(default_factory=list)


class _Attacks:
    """One world in which one key after another is attacked. `expected` is for the plot."""

    def __init__(self, parameters: Parameters, say: Say) -> None:
        self.parameters = parameters
        self.say = say
        self.rng = derive_rng(parameters.seed, "siege")
        self.on_keys, self.on_peers = _Tally(), _Tally()
        self.alarms: list[bool] = []
        self.expected: dict[str, list[float]] = {"attacked": [], "not attacked": []}

    async def run(self) -> tuple[dict[str, Any], str]:
        """The result, and the hash of the history."""
        parameters = self.parameters
        settings = simulated_settings(cipher=cipher_named(parameters.cipher))
        latency = latency_of(parameters.latency_matrix, parameters.seed)
        self.world = World(parameters.seed, latency=latency, settings=settings)
        await self.world.populate(parameters.nodes)
        self.honest = list(self.world.residents)
        mods = [self.rng.randbytes(32) for _ in range(parameters.keys)]
        for mod_id in mods:
            await self._publish(mod_id)
        await asyncio.sleep(_SETTLE_S)
        await self._judge_plain_keys()
        self.say(f"false alarms: {mean(self.alarms):.2%}")
        for number, mod_id in enumerate(mods):
            await self._attack_key(mod_id)
            self.say(f"key {number + 1} of {len(mods)}: done")
        for number in range(parameters.peers):
            await self._attack_peer()
            self.say(f"peer {number + 1} of {parameters.peers}: done")
        log_hash = self.world.internet.log.digest()
        await self.world.close()
        return self._data(), log_hash

    # What honest nodes do -----------------------------------------------------------------

    async def _publish(self, mod_id: bytes) -> Record:
        publisher = self.rng.choice(self.honest)
        body = ProviderBody(mod_id, complete=True)
        record = publisher.running.republisher.make(records.PROVIDER, body)
        await publisher.host.create_task(publisher.running.server.publish(record))
        return record

    async def _publish_plainly(self, mod_id: bytes) -> Record:
        """Store at the nearest contacts only, as if nothing were wrong with them."""
        publisher = self.rng.choice(self.honest)
        record = publisher.running.republisher.make(
            records.PROVIDER, ProviderBody(mod_id, complete=True)
        )
        await publisher.host.create_task(self._store_plainly(publisher, record))
        return record

    async def _store_plainly(self, publisher: Resident, record: Record) -> None:
        server = publisher.running.server
        for contact in (await server.lookup(record.key)).closest():
            await server.protocol.call_store(contact, record.key, record)

    async def _judge_plain_keys(self) -> None:
        keys = [self.rng.randbytes(20) for _ in range(self.parameters.plain)]
        for start in range(0, len(keys), _AT_ONCE):
            batch = keys[start : start + _AT_ONCE]
            self.alarms += await _all(
                [(self.rng.choice(self.honest), key) for key in batch],
                lambda observer, key: self._judge(observer, key, "not attacked"),
            )

    async def _judge(self, observer: Resident, key: bytes, name: str) -> bool:
        """Whether a node that looks this key up finds sybils around it."""
        server = observer.running.server
        closest = (await server.lookup(key)).closest()
        has_sybils = await server.sybil_regions.has_sybils(key, closest)
        target = int.from_bytes(key)
        if server.sybil_regions.size.samples(without=target):
            contacts = server.sybil_regions.size.estimate(without=target)
            self.expected[name].append(contacts * sybil_detection.radius(target, closest))
        return has_sybils

    async def _is_captured(self, observer: Resident, key: bytes, sybils: set[bytes]) -> bool:
        closest: list[Contact] = (await observer.running.server.lookup(key)).closest()
        return all(contact.peer_id in sybils for contact in closest)

    async def _finds(self, observer: Resident, record: Record) -> bool:
        reading = await observer.running.server.read(
            record.key,
            records.PROVIDER,
            enough=lambda seen: record.public_key in seen.records,
        )
        return record.public_key in reading.records

    async def _finds_plainly(self, observer: Resident, record: Record) -> bool:
        found = False

        def on_found(lookup: Any, _contact: Contact, answer: Found) -> None:
            nonlocal found
            if record.raw in answer.values:
                found = True
                lookup.stop()

        server = observer.running.server
        paths = server.settings.paths
        await server.lookup(record.key, kind=records.PROVIDER, on_found=on_found, paths=paths)
        return found

    async def _calls(self, observer: Resident, callee: Resident) -> bool:
        started = self.world.loop.time()
        try:
            await observer.running.caller.call(callee.identity.peer_id, describe)
        except CallCrossed:
            return True
        except ModswarmError:
            return False
        self.on_peers.call_s.append(self.world.loop.time() - started)
        return True

    # What the adversary does --------------------------------------------------------------

    async def _attack_key(self, mod_id: bytes) -> None:
        key = records.provider_key(mod_id)
        old = await self._publish(mod_id)
        sybils = await self._place_sybils(key)
        await self._observe(self.on_keys, key, sybils)
        observers = self.rng.sample(self.honest, self.parameters.observers)
        self.on_keys.read_old += await _all([(one, old) for one in observers], self._finds)
        plain = await self._publish_plainly(mod_id)
        self.on_keys.read_without += await _all(
            [(one, plain) for one in observers], self._finds_plainly
        )
        new = await self._publish(mod_id)
        await asyncio.sleep(_SETTLE_S)
        self.on_keys.read_new += await _all([(one, new) for one in observers], self._finds)
        self._remove(sybils)

    async def _attack_peer(self) -> None:
        """The sybils are there before the peer registers, which is the worst case."""
        peer = self.world.add(unreachable=True)
        sybils = await self._place_sybils(peer.identity.peer_id)
        await peer.start()
        await peer.running.registrations.registered.wait()
        peer.running.callee.accept_calls(accept)
        await asyncio.sleep(_SETTLE_S)
        await self._observe(self.on_peers, peer.identity.peer_id, sybils)
        observers = self.rng.sample(self.honest, self.parameters.observers)
        self.on_peers.called += await _all([(one, peer) for one in observers], self._calls)
        await peer.stop()
        self._remove(sybils)

    async def _observe(self, tally: _Tally, key: bytes, sybils: list[ColludingNode]) -> None:
        ids = {one.identity.peer_id for one in sybils}
        observers = self.rng.sample(self.honest, self.parameters.observers)
        tally.captured += await _all(
            [(one, key) for one in observers],
            lambda observer, key: self._is_captured(observer, key, ids),
        )
        tally.detected += await _all(
            [(one, key) for one in observers],
            lambda observer, key: self._judge(observer, key, "attacked"),
        )

    async def _place_sybils(self, target: bytes) -> list[ColludingNode]:
        """Colluding nodes that have joined around `target` and become known there."""
        sybils = sybils_near(self.world, target, self.parameters.sybils, self.rng)
        collusion = Collusion()
        for one in sybils:
            await one.start()
        await asyncio.gather(*(one.running.joined.wait() for one in sybils))
        await asyncio.sleep(_SETTLE_S)
        for one in sybils:
            one.collude(collusion)
        return sybils

    def _remove(self, sybils: list[ColludingNode]) -> None:
        for one in sybils:
            one.crash()

    def _data(self) -> dict[str, Any]:
        detected = self.on_keys.detected + self.on_peers.detected
        captured = self.on_keys.captured + self.on_peers.captured
        seen = [noticed for noticed, taken in zip(detected, captured, strict=True) if taken]
        mitigated = self.on_keys.read_old + self.on_keys.read_new
        return {
            "sybils": self.parameters.sybils,
            "detected": _share(detected),
            "detected_of_captured": _share(seen),
            "false_alarms": _share(self.alarms),
            "captured": _share(captured),
            "read_without": _share(self.on_keys.read_without),
            "mitigated": _share(mitigated),
            "read_stored_before": _share(self.on_keys.read_old),
            "read_stored_during": _share(self.on_keys.read_new),
            "called": _share(self.on_peers.called),
            "call_p50_s": round(quantile(self.on_peers.call_s, 0.5), 2),
            "judged": len(detected),
            "judged_plain": len(self.alarms),
            "cipher": self.parameters.cipher,
        }


async def _all(pairs: list[tuple[Resident, Any]], act: Any) -> list[bool]:
    """What `act(observer, what)` gives for each, all at once, each on its own host."""
    acts: list[Coroutine[Any, Any, bool]] = [act(observer, what) for observer, what in pairs]
    tasks = [observer.host.create_task(one) for (observer, _), one in zip(pairs, acts, strict=True)]
    return list(await asyncio.gather(*tasks))


def describe(_registrars: Sequence[Contact]) -> Description:
    """The caller's side, to which no link leads either."""
    return _DESCRIPTION


async def accept(_offer: Offer) -> Description:
    """Answer any call, with a description to which no link leads."""
    return _DESCRIPTION


def _share(outcomes: list[bool]) -> float:
    return round(mean(outcomes), 5)


def _draw(figure: Any, parameters: Parameters, attacks: _Attacks, data: dict[str, Any]) -> None:
    """How many contacts a network of the estimated size has where k were found; and outcomes."""
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for name, expected in attacks.expected.items():
        left.hist([max(one, 0.01) for one in expected], bins=_bins(), alpha=0.7, label=name)
    left.set_xscale("log")
    left.set_yscale("symlog")
    left.set_xlabel("contacts expected among the k nearest (k = 16 were found)")
    left.set_ylabel("judgements of a key")
    left.legend()
    shown = {
        "detected": data["detected"],
        "false alarms": data["false_alarms"],
        "captured": data["captured"],
        "read, stored at\nthe nearest only": data["read_without"],
        "read, stored\nbefore": data["read_stored_before"],
        "read, stored\nduring": data["read_stored_during"],
        "called": data["called"],
    }
    bars = right.barh(list(shown), [100 * one for one in shown.values()])
    right.bar_label(bars, fmt="%.1f")
    right.invert_yaxis()
    right.set_xlim(0, 118)
    right.set_xlabel("share (% of attempts by honest nodes)")
    figure.suptitle(f"{parameters.sybils} sybils around one key among {parameters.nodes} nodes")
    for axes in (left, right):
        axes.grid(visible=True, alpha=0.3)


def _bins() -> list[float]:
    return [0.01 * 10 ** (step / 10) for step in range(41)]
