"""9. What a node sends to addresses that an offer names, and that have proved nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.links.path.ice import IcePath
from protocol import limits
from protocol.addresses import Address
from protocol.description import Description, IceCandidate
from protocol.ice.candidates import CandidateKind
from simulations.internet import Host
from simulations.internet.carrier import Carrier
from simulations.residents.whole import WholeResident
from simulations.runtime.loop import current_host
from tests.simulations.pair_world import Town, pair_world

VICTIMS = 8
PORT = 4001
WATCHED_S = 90.0


class Attack:
    """Offers of one machine name the victims, and it sends no checks of its own.

    Made before the world. `sent` has what others send to victims: the address and the datagram.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[Address, bytes]] = []
        self._attacker: Host | None = None
        self._named: list[Address] = []
        monkeypatch.setattr(IcePath, "describe", self._described(IcePath.describe))
        monkeypatch.setattr(IcePath, "connect", self._connecting(IcePath.connect))
        monkeypatch.setattr(Carrier, "send", self._watching(Carrier.send))

    def begin(self, attacker: Host, named: list[Address]) -> None:
        """From now on."""
        self._attacker, self._named = attacker, named

    def _described(self, original: Callable[..., Description]) -> Callable[..., Description]:
        def describe(path: IcePath, *args: Any, **kwargs: Any) -> Description:
            described = original(path, *args, **kwargs)
            if current_host.get() is not self._attacker:
                return described
            candidates = [
                IceCandidate(CandidateKind.SERVER_REFLEXIVE, address) for address in self._named
            ]
            return replace(described, candidates=tuple(candidates))

        return describe

    def _connecting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        async def connect(path: IcePath, *args: Any, **kwargs: Any) -> None:
            if current_host.get() is self._attacker:
                await asyncio.Event().wait()
            await original(path, *args, **kwargs)

        return connect

    def _watching(self, original: Callable[..., None]) -> Callable[..., None]:
        def send(carrier: Carrier, sender: Any, data: bytes, to: Any, ttl: Any = None) -> None:
            if Address(*to[:2]) in self._named:
                self.sent.append((Address(*to[:2]), data))
            original(carrier, sender, data, to, ttl)

        return send


async def _named(
    town: Town, attacker: WholeResident, callee: WholeResident, attack: Attack
) -> None:
    calling = asyncio.ensure_future(town.tried(attacker, callee))
    await asyncio.sleep(WATCHED_S)
    assert attack.sent, "the callee took the offer"
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)


@pytest.mark.parametrize("callee", ["public", "port-restricted", "sequential"])
async def test_one_victim_gets_four_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, callee: str
) -> None:
    """And an opener of 20 bytes from behind a router, which is to end on the way."""
    attack = Attack(monkeypatch)
    async with pair_world(tmp_path) as town:
        attacker, other = await town.settled("public", callee)
        victim = Address(town.world.internet.add_host().addresses[0], PORT)
        attack.begin(attacker.host, [victim])
        await _named(town, attacker, other, attack)
        checks = [data for _, data in attack.sent if len(data) > 20]
        assert len(checks) == limits.ICE_CHECKS_UNPROVED == 4


@pytest.mark.parametrize("callee", ["public", "port-restricted", "sequential"])
async def test_all_victims_of_an_offer_get_no_more_bytes_than_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, callee: str
) -> None:
    attack = Attack(monkeypatch)
    async with pair_world(tmp_path) as town:
        attacker, other = await town.settled("public", callee)
        hosts = [town.world.internet.add_host() for _ in range(VICTIMS)]
        named = [Address(host.addresses[0], PORT) for host in hosts]
        attack.begin(attacker.host, named)
        await _named(town, attacker, other, attack)
        sent_bytes = sum(len(data) for _, data in attack.sent)
        assert sent_bytes <= limits.SIGNAL_BYTES
        assert 6 <= len([data for _, data in attack.sent if len(data) > 20]) <= 11
        each = [sum(to == victim for to, _ in attack.sent) for victim in named]
        assert max(each) <= limits.ICE_CHECKS_UNPROVED + 1
