"""Names the getters of a mod to one another: `protocol/content/holders/naming`."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from node.content.serve.served_streams import ServedStreams
from protocol import limits
from protocol.content import frames
from protocol.content.holders.naming import Naming
from protocol.errors import LinkClosed
from protocol.identity import PeerId


class NamedGetters:
    """Who fetches what of this node, over all links."""

    def __init__(self) -> None:
        self._naming = Naming()
        self._tellers: dict[NameTeller, None] = {}

    def teller(self, peer_id: PeerId, streams: ServedStreams) -> "NameTeller":
        """What names others to a peer on the streams of its link, until `stop`."""
        teller = NameTeller(self, peer_id, streams)
        self._tellers[teller] = None
        return teller

    def served(self, mod_id: bytes, peer_id: PeerId) -> None:
        """A peer was sent a chunk."""
        if self._naming.served(mod_id, peer_id):
            for teller in self._tellers:
                teller.expect(mod_id)

    def left(self, mod_id: bytes, peer_id: PeerId) -> None:
        """A peer does not fetch a mod here any more."""
        self._naming.left(mod_id, peer_id)

    def choose(self, mod_id: bytes, peer_id: PeerId, told: set[PeerId]) -> tuple[PeerId, ...]:
        """Whom to name to a peer now."""
        return self._naming.choose(mod_id, peer_id, told)

    def stop(self, teller: "NameTeller") -> None:
        """A link has ended."""
        self._tellers.pop(teller, None)


@dataclass(slots=True)
class _Told:
    """What a stream's peer was told of one mod."""

    peers: set[PeerId] = field(default_factory=set)
    next_at: float = 0.0
    times: int = 0
    timer: asyncio.TimerHandle | None = None


class NameTeller:
    """Tells the peer of one link, and knows of which mods it was sent chunks."""

    def __init__(self, getters: NamedGetters, peer_id: PeerId, streams: ServedStreams) -> None:
        self._getters = getters
        self._peer_id = peer_id
        self._streams = streams
        self._loop = asyncio.get_running_loop()
        self._told: dict[int, _Told] = {}
        self._mods: set[bytes] = set()
        """Those of which the peer was sent a chunk."""

    def served(self, mod_id: bytes) -> None:
        """The peer was sent a chunk of a mod: others may be told of it."""
        if mod_id not in self._mods:
            self._mods.add(mod_id)
            self._getters.served(mod_id, self._peer_id)

    def expect(self, mod_id: bytes) -> None:
        """There may be somebody new to name to the peer: soon, or when the next frame is due."""
        for number, stream in self._streams:
            if stream.mod_id == mod_id and stream.opened:
                told = self._told.setdefault(number, _Told())
                if told.timer is None:
                    at = max(told.next_at, self._loop.time() + limits.PEERS_NAMED_FIRST_S)
                    told.timer = self._loop.call_at(at, self._due, number)

    def _due(self, number: int) -> None:
        """Name those that were not; the frame is small, so it waits for no turn of the line."""
        told, stream = self._told[number], self._streams.get(number)
        told.timer = None
        if stream is None:
            del self._told[number]
            return
        peers = self._getters.choose(stream.mod_id, self._peer_id, told.peers)
        if not peers:
            return
        first_s, most_s = limits.PEERS_NAMED_S
        told.next_at = self._loop.time() + min(first_s * 2.0**told.times, most_s)
        told.times = min(told.times + 1, 16)
        told.peers.update(peers)
        with contextlib.suppress(LinkClosed):
            self._streams.send(frames.Peers(number, peers))
        self.expect(stream.mod_id)

    def closed(self, number: int, mod_id: bytes) -> None:
        """A stream of the peer has ended."""
        told = self._told.pop(number, None)
        if told is not None and told.timer is not None:
            told.timer.cancel()
        if not any(stream.mod_id == mod_id for _, stream in self._streams):
            self._mods.discard(mod_id)
            self._getters.left(mod_id, self._peer_id)

    def stop(self) -> None:
        """The link has ended."""
        self._getters.stop(self)
        for told in self._told.values():
            if told.timer is not None:
                told.timer.cancel()
        for mod_id in self._mods:
            self._getters.left(mod_id, self._peer_id)
