"""What the paths of all links of a node share: endpoint, candidates, one timer, one allowance."""

import asyncio
from collections.abc import Callable, Iterable

from node.environment import Environment
from node.links.channel.windows import LinkWindows
from node.links.path.local_candidates import LocalCandidates
from node.links.relaying.relays import LinkRelays
from node.links.settings import LinkSettings
from node.net.demux import PREFIX_BYTES
from node.net.endpoint import Endpoint
from node.relay.port import RelayPort
from node.streams.port import StreamPort
from node.streams.ways import StreamWays
from protocol.addresses import Address
from protocol.description import IceCandidate, fresh_credentials
from protocol.ice.agent import IceAgent
from protocol.ice.candidates import IceCredentials, LocalCandidate
from protocol.ice.settings import IceSettings
from protocol.ice.unproved import NetworkAllowance
from protocol.reachability.network_view import NetworkView
from protocol.reachability.own_line import OwnLine
from protocol.sctp.send.probes import RoundTripProbes


def named(candidates: Iterable[LocalCandidate]) -> tuple[IceCandidate, ...]:
    """Candidates as a description names them."""
    return tuple(IceCandidate(one.kind, one.address) for one in candidates)


class LinkPaths:
    """Shared by every `IcePath` of a node. `view` gives what the node knows of its network now.

    By `line` time limits grow where the node's own line is slow. `streams` lead
    to peers themselves.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        environment: Environment,
        settings: LinkSettings,
        view: Callable[[], NetworkView] = NetworkView,
        relays: LinkRelays | None = None,
        line: OwnLine | None = None,
        streams: StreamWays | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.relays = relays or LinkRelays(None, b"")
        self.streams = streams or StreamWays()
        self.line = line or OwnLine()
        self.loop = asyncio.get_running_loop()
        self.beat = endpoint.beat
        self.windows = LinkWindows()
        self.probes = RoundTripProbes()
        self.host_addresses = environment.host_addresses
        self._rng = environment.rng
        self._candidates = LocalCandidates(endpoint.addresses, environment.host_addresses, view)
        self.relayed_only = settings.relayed_only
        self._allowance = NetworkAllowance()
        self._settings = IceSettings(
            consent_interval_s=settings.consent_interval_s,
            consent_failures=settings.consent_failures,
            consent_phase_s=self.loop.time(),
        )

    def candidates(self) -> list[LocalCandidate]:
        """The node's own candidates, at most CANDIDATES; none if its address is hidden."""
        return [] if self.relayed_only else self._candidates.now()

    def named_candidates(self) -> tuple[IceCandidate, ...]:
        """The same, as a description names them."""
        return named(self.candidates())

    def fresh_credentials(self) -> IceCredentials:
        """A user name fragment and a password for one generation of an agent."""
        return IceCredentials(*fresh_credentials(self._rng))

    def make_agent(self, *, controlling: bool) -> tuple[IceCredentials, bytes, IceAgent]:
        """A fresh agent, with its credentials and the prefix of its transaction ids."""
        credentials = self.fresh_credentials()
        prefix = self._rng.randbytes(PREFIX_BYTES)
        agent = IceAgent(
            controlling=controlling,
            credentials=credentials,
            transaction_prefix=prefix,
            rng=self._rng,
            settings=self._settings.on_line(self.line.extra_s),
            allowance=self._allowance,
            goes_by_stream=self._goes_by_stream,
        )
        return credentials, prefix, agent

    def _goes_by_stream(self, base: Address) -> bool:
        port = self.endpoint.port_at(base)
        return isinstance(port, StreamPort) or (isinstance(port, RelayPort) and port.goes_by_stream)
