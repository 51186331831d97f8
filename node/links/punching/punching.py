"""What all attempts of a node share for hole punching, and what descriptions say of it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from node.environment import Environment
from node.links.punching.sampling import PortSampler
from node.links.punching.turns import SearchTurns
from node.net.endpoint import Endpoint
from node.tasks import TaskOwner
from protocol.description import Description
from protocol.overlay.contacts import Contact
from protocol.places.turns import SearchOrder
from protocol.places.usefulness import Usefulness
from protocol.punching.pairs import PunchKind, punch_kind
from protocol.punching.plan import families_behind_router
from protocol.reachability.nat_report import NatReport
from protocol.reachability.network_view import MappingKind, NetworkView, PortSample


class WitnessExchange(Protocol):
    """How tokens reach witnesses, and what these saw: the overlay's part."""

    def choose(self) -> tuple[Contact, ...]:
        """Contacts of our choice."""

    def knows(self, contact: Contact) -> bool:
        """Whether a contact has answered us lately at its address."""

    async def leave(self, token: bytes, witnesses: Sequence[Contact]) -> None:
        """Leave our token with a peer's witnesses."""

    async def hosts_seen(
        self, token: bytes, witnesses: Sequence[Contact], limit_s: float
    ) -> frozenset[str]:
        """From which hosts enough witnesses of ours got a peer's token."""


class LinkPunching:
    """`view` gives what the node knows of its network now. `searches`: whether it takes part in
    searches by many probes, for which a person may not want to open 384 mappings. Peers of use
    have their turns in these before newcomers.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        environment: Environment,
        view: Callable[[], NetworkView],
        witnesses: WitnessExchange,
        usefulness: Usefulness,
        *,
        searches: bool,
    ) -> None:
        self.endpoint = endpoint
        self.rng = environment.rng
        self.witnesses = witnesses
        self._searches = searches
        self.turns = SearchTurns(SearchOrder(usefulness.worth, environment.rng))
        self.tasks = TaskOwner("punching")
        self._sampler = PortSampler(endpoint, environment)
        self._sampling: asyncio.Task[None] | None = None
        self._sample: tuple[int, float] | None = None
        self._view = view
        self._loop = asyncio.get_running_loop()

    def described(self, description: Description, *, avoids_direct: bool = False) -> Description:
        """A description with what the peer must know of our router now.

        Also where a direct path is avoided: by the kinds of both routers one is looked for later.
        """
        report = self.report()
        witnesses = () if avoids_direct else self.own_witnesses(report)
        return replace(description, nat=report, witnesses=witnesses)

    def report(self) -> NatReport:
        """What descriptions say of our router now: that of IPv4, if there is one."""
        family = self._view().of(4 if 4 in self.endpoint.addresses else 6)
        known = family.last_sample
        if self._sample is not None and (known is None or known.at < self._sample[1]):
            newer = PortSample(*self._sample, known.rate if known is not None else 0.0)
            family = replace(family, last_sample=newer)
        return NatReport.of(family, self._loop.time())

    async def sample(self) -> None:
        """Take a sample of our router's ports, if it counts, for the next description.

        Returns once it is there, or has taken too long.
        """
        counts = self._view().of(4).nat.mapping is MappingKind.SEQUENTIAL
        if counts and (self._sampling is None or self._sampling.done()):
            self._sampling = self.tasks.start(self._take_sample(), name="sample ports")
        if self._sampling is not None:
            await asyncio.wait([self._sampling])

    async def _take_sample(self) -> None:
        for contact in self.witnesses.choose()[:1]:
            self._sample = await self._sampler.sample(contact) or self._sample

    def own_witnesses(self, report: NatReport) -> tuple[Contact, ...]:
        """Whom a description names as witnesses: none where the peer needs no many probes."""
        if not self._searches or punch_kind(report.kind) is PunchKind.OPEN:
            return ()
        return self.witnesses.choose()

    @property
    def opener_families(self) -> frozenset[int]:
        """In which families openers may leave."""
        return families_behind_router(self._view())

    async def close(self) -> None:
        """End every search."""
        await self.tasks.close()
