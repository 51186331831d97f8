"""Carries out one side's plan on its ICE agent; the caller owns ports, timer and witnesses.

    puncher.begin(now)               after the agent's start, before it has candidates to check:
                                     where both routers count, the first mappings are for these
    puncher.wake(now)                at `wake_at`: predicted ports and probes
    puncher.seen(hosts, now)         witnesses saw the peer there: more may be sent
    puncher.sockets_open(bases)      the sockets of a search are there
    puncher.probe_many(now)          the probes of a search begin, until `probe_no_more`

After each of these the agent has datagrams to send.
"""

from collections.abc import Sequence
from math import inf

from protocol import limits
from protocol.addresses import Address
from protocol.description import IceCandidate
from protocol.ice.agent import IceAgent
from protocol.ice.candidates import CandidateKind
from protocol.punching.birthday import BirthdayProbes, ports_to_probe
from protocol.punching.pairs import Way
from protocol.punching.plan import OPENER_TTL, BirthdayPart, PunchPlan
from protocol.randomness import Random

_PREDICTED_AGAIN_S = (0.0, 0.25, 1.0)
"""Predicted ports are checked so long after the beginning of checks: a datagram may be lost."""

ASKS_WITNESSES = frozenset({Way.PREDICTION, Way.BIRTHDAY})
"""Where more is to be sent than addresses get that have proved nothing."""


class Puncher:
    """One attempt. `bases` are those of our side that the plan is for, `remotes` the peer's
    candidates, `sample_port` a port of its router, or 0.
    """

    def __init__(
        self,
        agent: IceAgent,
        plan: PunchPlan,
        *,
        bases: Sequence[Address],
        remotes: Sequence[IceCandidate],
        sample_port: int,
        rng: Random,
    ) -> None:
        self._agent = agent
        self._plan = plan
        self._bases = tuple(bases)
        self._direct = [one for one in remotes if one.kind is not CandidateKind.RELAYED]
        self._sample_port = sample_port
        self._rng = rng
        self._predicted: list[tuple[float, Address]] = []
        self._probes: BirthdayProbes | None = None
        self._probed_host = ""
        self._seen: frozenset[str] = frozenset()

    @property
    def asks_witnesses(self) -> bool:
        """Whether it matters to either side what witnesses saw: then both leave their tokens."""
        return self._plan.way in ASKS_WITNESSES

    @property
    def search(self) -> BirthdayPart | None:
        """Our part of the search that what the witnesses saw allows; None if there is none."""
        if self._plan.birthday is BirthdayPart.SOCKETS and self._external() is None:
            return None
        return self._plan.birthday if self._seen else None

    @property
    def wake_at(self) -> float:
        """When `wake` is due; inf if nothing is waited for."""
        predicted_at = self._predicted[0][0] if self._predicted else inf
        return min(predicted_at, self._probes.next_at if self._probes else inf)

    def begin(self, now: float) -> None:
        """Open our routers, check predicted ports if the plan says at once, and set what follows.

        A peer whose router counts will come from one of the predicted ports.
        """
        host = self._reflexive_host()
        predicted = [Address(host, port) for port in self._plan.ports] if host else []
        others = [one.address for one in self._direct if one.address.host != host or not predicted]
        for remote in (*predicted, *others):
            if remote.family in self._plan.opener_families:
                for base in self._bases:
                    self._agent.open_firewall(remote, base, OPENER_TTL, now)
        checks_at = now + self._plan.checks_after_s
        self._predicted = [
            (checks_at + later_s, address)
            for later_s in _PREDICTED_AGAIN_S
            for address in predicted
        ]
        self.wake(now)

    def seen(self, hosts: frozenset[str], now: float) -> None:
        """Enough witnesses got the peer's token from these hosts."""
        self._seen |= hosts
        for host in sorted(hosts):
            self._agent.vouch(host, now)
            if ":" not in host:
                more = (*self._plan.ports, *self._plan.more_ports)
                self._predicted = [(now, Address(host, port)) for port in more] + self._predicted
        self.wake(now)

    def probe_many(self, now: float) -> None:
        """Begin our part of a search: the probes, at the address that the witnesses saw."""
        host = next(iter(sorted(one for one in self._seen if ":" not in one)), "")
        if self._plan.birthday is BirthdayPart.PROBES and host and self._probes is None:
            self._probed_host = host
            self._probes = BirthdayProbes(ports_to_probe(self._rng, self._sample_port), now)
            self.wake(now)

    def probe_no_more(self) -> int:
        """The search is over, and another one may begin; returns how many probes this one had."""
        sent = self._probes.sent if self._probes is not None else 0
        self._probes = None
        return sent

    def sockets_open(self, bases: Sequence[Address], now: float) -> None:
        """Begin our part of a search: a mapping of each of these towards the peer."""
        external = self._external()
        if external is None:
            return
        for base in bases[: limits.BIRTHDAY_SOCKETS]:
            self._agent.add_local(CandidateKind.HOST, base, base, now, quiet=True)
            self._agent.open_firewall(external, base, OPENER_TTL, now)

    def wake(self, now: float) -> None:
        """Send what is due."""
        due = [address for at, address in self._predicted if at <= now]
        self._predicted = self._predicted[len(due) :]
        for address in due:
            for base in self._bases:
                self._agent.probe(address, base, now)
        if self._probes is not None:
            for port in self._probes.due(now):
                for base in self._bases:
                    self._agent.probe(Address(self._probed_host, port), base, now)

    def _external(self) -> Address | None:
        """The peer's server-reflexive address at a host that the witnesses saw."""
        for remote in self._direct:
            if remote.address.host in self._seen and remote.address.family == 4:
                return remote.address
        return None

    def _reflexive_host(self) -> str:
        for remote in self._direct:
            if remote.kind is CandidateKind.SERVER_REFLEXIVE and remote.address.family == 4:
                return remote.address.host
        return ""
