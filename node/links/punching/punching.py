"""What all attempts of a node share for hole punching, and what descriptions say of it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from node.environment import Environment
from node.net.endpoint import Endpoint
from node.tasks import TaskOwner
from protocol.description import Description
from protocol.overlay.contacts import Contact
from protocol.punching.birthday import BirthdayTurns
from protocol.punching.pairs import PunchKind, punch_kind
from protocol.punching.plan import families_behind_router
from protocol.reachability.nat_report import NatReport
from protocol.reachability.network_view import NetworkView


class WitnessExchange(Protocol):
    """How tokens reach witnesses, and what these saw: the overlay's part."""

    def choose(self) -> tuple[Contact, ...]:
        """Contacts of our choice."""

    async def leave(self, token: bytes, witnesses: Sequence[Contact]) -> None:
        """Leave our token with a peer's witnesses."""

    async def hosts_seen(
        self, token: bytes, witnesses: Sequence[Contact], limit_s: float
    ) -> frozenset[str]:
        """From which hosts all of our witnesses got a peer's token."""


class LinkPunching:
    """`view` gives what the node knows of its network now. `searches`: whether it takes part in
    searches by many probes, for which a person may not want to open 256 mappings.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        environment: Environment,
        view: Callable[[], NetworkView],
        witnesses: WitnessExchange,
        *,
        searches: bool,
    ) -> None:
        self.endpoint = endpoint
        self.rng = environment.rng
        self.witnesses = witnesses
        self.searches = searches
        self.turns = BirthdayTurns()
        self.tasks = TaskOwner("punching")
        self._view = view
        self._loop = asyncio.get_running_loop()

    def described(self, description: Description) -> Description:
        """A description with what the peer must know of our router now."""
        report = self.report()
        return replace(description, nat=report, witnesses=self.own_witnesses(report))

    def report(self) -> NatReport:
        """What descriptions say of our router now: that of IPv4, if there is one."""
        view = self._view()
        family = 4 if 4 in self.endpoint.addresses else 6
        return NatReport.of(view.of(family), self._loop.time())

    def own_witnesses(self, report: NatReport) -> tuple[Contact, ...]:
        """Whom a description names as witnesses: none where the peer needs no many probes."""
        if not self.searches or punch_kind(report.kind) is PunchKind.OPEN:
            return ()
        return self.witnesses.choose()

    @property
    def opener_families(self) -> frozenset[int]:
        """In which families openers may leave."""
        return families_behind_router(self._view())

    async def close(self) -> None:
        """End every search."""
        await self.tasks.close()
