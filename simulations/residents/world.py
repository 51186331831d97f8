"""Many real overlay nodes on one simulated internet, from one seed.

The nodes are the product's own `Membership`, unmodified; only what it takes from its environment is
virtual. Attackers are subclasses of `Resident`. Use it inside a running VirtualLoop:

    run_virtually(main(...))
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from node.counters import Counters
from node.environment import Environment
from node.overlay.membership import Membership
from node.overlay.settings import OverlaySettings
from protocol.addresses import Address
from protocol.datagrams import PacketCipher
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from simulations.errors import NotJoined
from simulations.internet.addresses import is_v6
from simulations.internet.host import Host
from simulations.internet.internet import Internet
from simulations.internet.latency import Latency, SyntheticLatency
from simulations.libraries.ciphers import MarkedTestCipher, RememberedAgreements
from simulations.residents.router import find_router
from simulations.runtime.collector import freeze_survivors
from simulations.runtime.loop import VirtualLoop
from simulations.seeds import derive_rng

PORT = 4001
INTRODUCERS = 3
"""Contacts that a joining node knows."""

JOIN_BOUND_S = 300.0
"""Virtual time after the last start within which all have joined: several tries by any line."""

JOIN_SPACING_S = 0.05
"""Virtual time between one node's start and the next one's."""


def simulated_settings(**changes: Any) -> OverlaySettings:
    """The product's settings, with an identity puzzle that costs nothing to solve.

    Streams are left out unless they are asked for: most worlds pass UDP, and certificates cost.
    """
    usual = OverlaySettings(
        puzzle_bits=0, cipher=RememberedAgreements(), peers_remembered=512, streams=False
    )
    return replace(
        usual,
        **changes,
    )


def cipher_named(name: str) -> PacketCipher:
    """`real`, or `test` for worlds of the overlay alone in which cryptography would dominate."""
    ciphers: dict[str, type[PacketCipher]] = {
        "real": RememberedAgreements,
        "test": MarkedTestCipher,
    }
    return ciphers[name]()


@dataclass(slots=True)
class Resident:
    """One node of a world: where it runs, and its membership while it runs."""

    world: "World"
    number: int
    host: Host
    identity: Identity
    rng: random.Random
    unreachable: bool = False
    membership: Membership | None = None
    saved: list[Contact] = field(default_factory=list)

    @property
    def running(self) -> Membership:
        """The membership of a resident that runs."""
        assert self.membership is not None
        return self.membership

    @property
    def defects(self) -> list[BaseException]:
        """What tasks of a resident that runs raised that no peer or network can be blamed for."""
        return self.running.tasks.defects

    @property
    def contact(self) -> Contact:
        """The contact under which others know this node, by its first address."""
        return self.contacts[0]

    @property
    def contacts(self) -> list[Contact]:
        """One contact for each of its addresses."""
        key = self.identity.public_key
        return [Contact.at(key, Address(host, PORT)) for host in self.host.addresses]

    @property
    def families(self) -> frozenset[int]:
        """Of its addresses: 4, 6 or both."""
        return frozenset(6 if is_v6(host) else 4 for host in self.host.addresses)

    @property
    def reached(self) -> frozenset[int]:
        """The families of the addresses that its node sends to."""
        return self.families

    def environment(self) -> Environment:
        """What the node takes from its machine."""
        return Environment(
            self.world.loop.wall_time,
            self.rng,
            lambda: list(self.host.addresses),
            udp_socket=None,
            find_router=lambda: find_router(self.host),
            thread_cpu_s=lambda: 0.0,  # what this machine takes must change nothing
            file_times=False,
            variables={},
        )

    def make_membership(self) -> Membership:
        """The node's rooms; an attacker overrides this."""
        world = self.world
        return Membership(
            self.identity,
            self.environment(),
            settings=replace(world.settings, unreachable=self.unreachable),
            counters=Counters(),
            bootstraps=[],
            saved=self.saved or world.introducers(self),
            say=lambda _: None,
        )

    async def start(self) -> None:
        """Boot the node; it joins in the background."""
        with self.host.running():
            self.membership = self.make_membership()
            for address in self.host.addresses:
                await self.membership.endpoint.open(Address(address, PORT))
            self.membership.start()

    async def stop(self) -> None:
        """Shut the node down in order; its contacts are kept for the next start."""
        if self.membership is not None:
            self.saved = self.membership.server.bootstrappable_neighbors()
            with self.host.running():
                await self.membership.leave()
            await self.end()

    async def end(self) -> None:
        """Shut the node down, without a word to others: their world ends as well."""
        if self.membership is not None:
            with self.host.running():
                await self.membership.stop()
            self.membership = None

    def crash(self) -> None:
        """Kill the node: no peer is told."""
        if self.membership is not None:
            self.saved = self.membership.server.bootstrappable_neighbors()
            self.host = self.world.internet.crash(self.host)
            self.membership = None


class World:
    """`internet` and its residents. Everything random follows from `seed`, by purpose."""

    def __init__(
        self,
        seed: int,
        *,
        latency: Latency | None = None,
        settings: OverlaySettings | None = None,
        folder: Path | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.seed = seed
        self.loop = loop
        self.internet = Internet(loop, seed, latency or SyntheticLatency(seed))
        self.settings = settings or simulated_settings()
        self.residents: list[Resident] = []
        self._folder = folder
        self._introducing = derive_rng(seed, "introducers")

    @property
    def folder(self) -> Path:
        """Where whole nodes keep their homes."""
        assert self._folder is not None, "this world was made without a folder"
        return self._folder

    def add(
        self,
        kind: Callable[..., Resident] = Resident,
        *,
        unreachable: bool = False,
        host: Host | None = None,
    ) -> Resident:
        """One more resident, not started yet."""
        number = len(self.residents)
        rng = derive_rng(self.seed, "node", number)
        resident = kind(
            self,
            number,
            host or self.internet.add_host(),
            Identity(rng.randbytes(32)),
            rng,
            unreachable,
        )
        self.residents.append(resident)
        return resident

    async def populate(
        self,
        count: int,
        *,
        kind: Callable[..., Resident] = Resident,
        v4: bool = True,
        v6: bool = False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Add and start `count` residents, and wait until all of them have joined.

        They have addresses of IPv4, IPv6 or both. Raises NotJoined after JOIN_BOUND_S.
        """
        newcomers = [
            self.add(kind, host=self.internet.add_host(v4=v4, v6=v6)) for _ in range(count)
        ]
        for done, resident in enumerate(newcomers):
            await resident.start()
            await asyncio.sleep(JOIN_SPACING_S)
            progress(done)
        await self._have_joined(newcomers)
        freeze_survivors()

    async def _have_joined(self, newcomers: Sequence[Resident]) -> None:
        try:
            async with asyncio.timeout(JOIN_BOUND_S):
                await asyncio.gather(*(one.running.joined.wait() for one in newcomers))
        except TimeoutError:
            missing = [one for one in newcomers if not one.running.joined.is_set()]
            named = ", ".join(f"{one.number} at {one.host.addresses[0]}" for one in missing[:10])
            more = f", and {len(missing) - 10} more" if len(missing) > 10 else ""
            raise NotJoined(
                f"{len(missing)} of {len(newcomers)} residents have not joined within "
                f"{JOIN_BOUND_S:g} s: {named}{more}"
            ) from None

    def introducers(self, newcomer: Resident) -> list[Contact]:
        """Contacts of a few running residents, that a joining one knows and can send to."""
        known = [
            one
            for one in self.residents[: newcomer.number]
            if one.membership is not None
            and one.host.behind is None
            and not one.families.isdisjoint(newcomer.reached)
        ]
        picked = self._introducing.sample(known, min(INTRODUCERS, len(known)))
        contacts = [contact for one in picked for contact in one.contacts]
        return [contact for contact in contacts if contact.family in newcomer.reached]

    def running(self) -> list[Resident]:
        """The residents whose nodes run."""
        return [one for one in self.residents if one.membership is not None]

    def true_closest(self, target: bytes, among: Sequence[Resident], k: int) -> list[bytes]:
        """The peer ids nearest to `target`, over all these residents."""
        number = int.from_bytes(target)
        ids = [one.identity.peer_id for one in among]
        return sorted(ids, key=lambda peer_id: int.from_bytes(peer_id) ^ number)[:k]

    async def close(self) -> None:
        """Stop every resident, and fail if any task of theirs had a defect."""
        defects: list[BaseException] = []
        for resident in self.running():
            defects += resident.defects
            await resident.end()
        if defects:
            raise ExceptionGroup(
                "nodes had defects", [one for one in defects if isinstance(one, Exception)]
            )
