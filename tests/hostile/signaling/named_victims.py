"""An attacker whose offers and answers name addresses that have proved nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from node.links.attempt import LinkAttempt
from node.links.path.ice import IcePath
from protocol import limits
from protocol.addresses import Address
from protocol.description import Description, IceCandidate
from protocol.ice.candidates import CandidateKind
from protocol.overlay.contacts import Contact
from protocol.reachability.nat_report import NatReport
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind
from simulations.internet import Host
from simulations.internet.carrier import Carrier
from simulations.runtime.sleeping import current_host
from tests.simulations.pair_world import Town

VICTIMS = 8
OPENER_BYTES = 20
COUNTS = NatReport(
    NatKind(MappingKind.SEQUENTIAL, FilteringKind.DEPENDENT, False, 1), 5000, 0, 60_000
)


class NamedVictims:
    """Offers of one machine name the victims, and it sends no checks of its own.

    Made before the world. `sent` has what others send to any port of the victims' hosts: the
    address and the datagram.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[Address, bytes]] = []
        self._attacker: Host | None = None
        self._named: list[Address] = []
        self._contacts: tuple[Contact, ...] = ()
        monkeypatch.setattr(LinkAttempt, "offer", self._offered(LinkAttempt.offer))
        monkeypatch.setattr(IcePath, "describe", self._described(IcePath.describe))
        monkeypatch.setattr(IcePath, "connect", self._connecting(IcePath.connect))
        monkeypatch.setattr(Carrier, "send", self._watching(Carrier.send))

    def begin(
        self, attacker: Host, named: list[Address], contacts: tuple[Contact, ...] = ()
    ) -> None:
        """From now on; `contacts` are named as relays and witnesses, by one whose router counts."""
        self._attacker, self._named, self._contacts = attacker, named, contacts

    def checks(self) -> list[bytes]:
        """What was sent but for openers of ports, which have 20 bytes."""
        return [data for _, data in self.sent if len(data) > OPENER_BYTES]

    def _offered(self, original: Callable[..., Description]) -> Callable[..., Description]:
        def offer(attempt: LinkAttempt, *args: Any) -> Description:
            offered = original(attempt, *args)
            if current_host.get() is not self._attacker or not self._contacts:
                return offered
            return replace(
                offered,
                relays=self._contacts[: limits.RELAYS_NAMED],
                witnesses=self._contacts[-limits.WITNESSES :],
                nat=COUNTS,
            )

        return offer

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
            victims = {address.host for address in self._named}
            if sender.host is not self._attacker and to[0] in victims:
                self.sent.append((Address(*to[:2]), data))
            original(carrier, sender, data, to, ttl)

        return send


def ports_of_one_victim(town: Town) -> list[Address]:
    """Candidates that are all at one third party."""
    host = town.world.internet.add_host().addresses[0]
    return [Address(host, 5000 + number) for number in range(VICTIMS)]
