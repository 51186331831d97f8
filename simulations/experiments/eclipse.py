"""How much of one node's table an attacker with many identities in few networks gets.

The attacker has two /24 networks, mines ids for every bucket of the victim, answers all that the
victim asks (with its own kind only) and keeps asking the victim, so that each identity is verified.
It does so while the victim's table is full, and again while the victim restarts. The same attack is
run with the limits per network switched off, to show what they are worth.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_sign_seed_keypair

from protocol import limits
from protocol.addresses import Address
from protocol.identity import Identity, peer_id_of
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method, Request, encode_found
from protocol.overlay.networks import public_networks
from protocol.overlay.routing import ID_BITS
from simulations.attacks.attackers import Collusion
from simulations.attacks.raw_peer import RawPeer, Responder, pong
from simulations.harness.options import latency_of, option
from simulations.harness.report import ExperimentReport, Say
from simulations.residents.world import PORT, Resident, World, simulated_settings
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng, derive_seed

_SETTLE_S = 30.0
_SPACING_S = 0.005
_ROUNDS = 3
_MINED_PER_IDENTITY = 8
_NETWORKS = ("81.2.69.0/24", "89.160.20.0/24")
_HOSTS_PER_NETWORK = 250
_FOUND_BYTES = 900


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(200, "honest nodes, the victim among them")
    identities: int = option(1000, "identities of the attacker")
    latency_matrix: Path | None = option(None, "file with measured round-trip times")


PARAMETERS = Parameters


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """The attack with the limits, and without."""
    rows, hashes = [], []
    for limited in (True, False):
        row, log_hash = run_virtually(_Eclipse(parameters, limited=limited).run())
        rows.append(row)
        hashes.append(log_hash)
        say(f"{'with' if limited else 'without'} limits: {row['after_restart']['share']:.1%}")
    ours, unlimited = rows
    data = {
        "identities": parameters.identities,
        "networks": len(_NETWORKS),
        "in_table": max(ours[phase]["attackers"] for phase in _PHASES),
        "in_table_limit": len(_NETWORKS) * limits.NETWORK_IN_TABLE[3],
        "in_bucket": max(ours[phase]["most_in_a_bucket"] for phase in _PHASES),
        "in_bucket_limit": len(_NETWORKS) * limits.NETWORK_IN_BUCKET[3],
        "share": max(ours[phase]["share"] for phase in _PHASES),
        "share_without_limits": max(unlimited[phase]["share"] for phase in _PHASES),
        "results": rows,
    }
    combined = f"{derive_seed(0, *hashes):016x}"
    return ExperimentReport(data, lambda figure: _draw(figure, parameters, rows), combined)


_PHASES = ("full_table", "after_restart")


class _Eclipse:
    """One world, one victim: the resident that joined last."""

    def __init__(self, parameters: Parameters, *, limited: bool) -> None:
        self.parameters = parameters
        self.limited = limited
        self.rng = derive_rng(parameters.seed, "eclipse")
        self.collusion = Collusion()
        self.attackers: list[RawPeer] = []

    async def run(self) -> tuple[dict[str, Any], str]:
        """The row of the result, and the hash of the history."""
        networks_of = public_networks if self.limited else _no_networks
        latency = latency_of(self.parameters.latency_matrix, self.parameters.seed)
        settings = simulated_settings(networks_of=networks_of)
        self.world = World(self.parameters.seed, latency=latency, settings=settings)
        await self.world.populate(self.parameters.nodes)
        victim = self.world.residents[-1]
        await self._move_in(victim)
        await asyncio.sleep(_SETTLE_S)
        await self._attack(victim)
        row: dict[str, Any] = {"limited": self.limited, "full_table": await self._harm(victim)}
        await victim.stop()
        await victim.start()
        await self._attack(victim)
        await victim.running.joined.wait()
        row["after_restart"] = await self._harm(victim)
        log_hash = self.world.internet.log.digest()
        await self.world.close()
        return row, log_hash

    async def _move_in(self, victim: Resident) -> None:
        """One host for each network, with many addresses, and the identities all over them."""
        places: list[tuple[Any, Address]] = []
        count = self.parameters.identities
        for text in _NETWORKS:
            hosts = [str(one) for one in ipaddress.ip_network(text).hosts()]
            host = self.world.internet.add_host(addresses=hosts[:_HOSTS_PER_NETWORK])
            for port in range(PORT, PORT + 1 + count // (2 * _HOSTS_PER_NETWORK)):
                places += [(host, Address(address, port)) for address in host.addresses]
        self.rng.shuffle(places)
        identities = self._mine(victim)
        answers: dict[Method, Responder] = {
            Method.PING: pong,
            Method.MEET: pong,
            Method.FIND_NODE: partial(_name_colluding_nodes, self.collusion),
            Method.FIND_VALUE: partial(_name_colluding_nodes, self.collusion),
        }
        for identity, (host, address) in zip(identities, places, strict=False):
            attacker = RawPeer(identity, answers)
            await attacker.listen(host, address.port, address.host)
            self.collusion.admit(attacker.contact)
            self.attackers.append(attacker)

    def _mine(self, victim: Resident) -> list[Identity]:
        """As many ids as there may be, as evenly as possible over the victim's buckets."""
        own = int.from_bytes(victim.identity.peer_id)
        buckets: dict[int, list[bytes]] = {}
        for _ in range(_MINED_PER_IDENTITY * self.parameters.identities):
            seed = self.rng.randbytes(32)
            number = int.from_bytes(peer_id_of(crypto_sign_seed_keypair(seed)[0]))
            buckets.setdefault(ID_BITS - (number ^ own).bit_length(), []).append(seed)
        seeds: list[bytes] = []
        while len(seeds) < self.parameters.identities:
            for index in sorted(buckets, reverse=True):
                seeds += buckets[index][:1]
                del buckets[index][:1]
        return [Identity(seed) for seed in seeds[: self.parameters.identities]]

    async def _attack(self, victim: Resident) -> None:
        for _ in range(_ROUNDS):
            for attacker in self.attackers:
                attacker.send(Method.MEET, [], victim.contact)
                await asyncio.sleep(_SPACING_S)
            await asyncio.sleep(limits.FRESH_S)

    async def _harm(self, victim: Resident) -> dict[str, Any]:
        """What the attacker has of the victim's table, and of an answer to its own lookup."""
        server = victim.running.server
        ids = {attacker.identity.peer_id for attacker in self.attackers}
        own = int.from_bytes(victim.identity.peer_id)
        entries = list(server.tables.entries())
        taken = [one.contact for one in entries if one.contact.peer_id in ids]
        buckets = Counter(ID_BITS - (one.number ^ own).bit_length() for one in taken)
        all_buckets = Counter(ID_BITS - (one.contact.number ^ own).bit_length() for one in entries)
        with victim.host.running():
            closest = (await server.lookup(victim.identity.peer_id)).closest()
        return {
            "attackers": len(taken),
            "contacts": len(entries),
            "share": round(len(taken) / len(entries), 4),
            "most_in_a_bucket": max(buckets.values(), default=0),
            "in_answer": sum(one.peer_id in ids for one in closest),
            "buckets": [
                [index, buckets[index], all_buckets[index]] for index in sorted(all_buckets)
            ],
        }


def _no_networks(_contact: Contact) -> tuple[bytes, ...]:
    return ()


def _name_colluding_nodes(collusion: Collusion, request: Request) -> list[Any]:
    """What FIND_NODE and FIND_VALUE get; the first argument of both is the target."""
    nearest: list[Contact] = collusion.nearest(request.arguments[0])
    return encode_found(nearest, [], skip=0, registration_proof=b"", max_bytes=_FOUND_BYTES)


def _draw(figure: Any, parameters: Parameters, rows: Sequence[dict[str, Any]]) -> None:
    """The victim's buckets after its restart, with the attacker's part of each."""
    for axes, row in zip(figure.subplots(1, 2, sharey=True), rows, strict=True):
        harm = row["after_restart"]
        indices = [index for index, *_ in harm["buckets"]]
        axes.bar(indices, [total for *_, total in harm["buckets"]], label="all contacts")
        axes.bar(indices, [taken for _, taken, _ in harm["buckets"]], label="attacker's")
        name = "with the limits per network" if row["limited"] else "without them"
        axes.set_title(f"{name}: {harm['attackers']} of {harm['contacts']}")
        axes.set_xlabel("bucket (leading bits shared with the victim)")
        axes.set_ylabel("contacts in the victim's table")
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="small")
    attacker = f"{parameters.identities} identities in {len(_NETWORKS)} networks"
    figure.suptitle(f"{attacker} against one of {parameters.nodes} nodes")
