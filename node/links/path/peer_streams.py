"""The streams between this node and the peer of a link, as bases of its agent."""

from node.streams.ways import StreamWays
from protocol.addresses import Address
from protocol.ice.agent import IceAgent
from protocol.ice.candidates import CandidateKind
from protocol.identity import PeerId


class PeerStreams:
    """Of one agent. They come last, as relays do: in a stream what is lost holds back the rest."""

    def __init__(self, streams: StreamWays, peer_id: PeerId, agent: IceAgent) -> None:
        self._streams = streams
        self._peer_id = peer_id
        self._agent = agent
        self._bases: frozenset[Address] = frozenset()

    def begin(self, now: float) -> None:
        """Checks may leave by the streams that stand now, and no more by those that have ended."""
        ways = self._streams.to(self._peer_id)
        bases = frozenset(way.base for way in ways)
        for base in self._bases - bases:
            self._agent.remove_local(base, now)
        self._bases = bases
        for way in ways:
            kind = CandidateKind.RELAYED
            self._agent.add_local(kind, way.base, way.base, now, peer=way.far)

    def name(self, now: float) -> None:
        """Check by the streams that this node has opened; the peer learns from these checks."""
        for way in self._streams.to(self._peer_id):
            if way.is_of_udp and way.base in self._bases:
                self._agent.add_remote(CandidateKind.SERVER_REFLEXIVE, way.far, now)
