"""Shows the getters of a mod that is all here its chunks in parts: `content/serving/seeding`."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Final

from node.content.ports import LinkPort
from node.content.serve.line import Line
from node.content.serve.served_streams import ServedStream, ServedStreams
from node.content.vault.holdings import Held
from protocol import limits
from protocol.content import frames
from protocol.content.serving.seeding import Seeding
from protocol.errors import LinkClosed
from protocol.randomness import Random

_DRAINING_S: Final = 0.05
_LOOK_S: Final = 0.25
"""How often a link looks whether what it was sent has left, and whether its peer makes no use of
what it was shown."""

Getter = tuple["Seeder", int]
"""A link's seeder and the number of the peer's stream."""


@dataclass(slots=True)
class _Seeded:
    """A mod that is served from all of it, and who fetches it."""

    seeding: Seeding
    getters: dict[Getter, bytes] = field(default_factory=dict)
    """By the party of each: its network, or the peer itself."""
    repeating: set[Getter] = field(default_factory=set)
    """Those of them that want what they have had: they need no part of the mod."""


class Seeds:
    """All mods that are served now and are all here."""

    def __init__(self, line: Line, rng: Random) -> None:
        self.line = line
        self._rng = rng
        self._mods: dict[bytes, _Seeded] = {}

    def opened(self, mod_id: bytes, getter: Getter, party: bytes, chunks: int, now: float) -> None:
        """A getter has come."""
        seeded = self._mods.get(mod_id)
        if seeded is None:
            seeded = self._mods[mod_id] = _Seeded(Seeding(chunks, self._rng, now))
        seeded.getters[getter] = party

    def of(self, mod_id: bytes, getter: Getter) -> Seeding | None:
        """What a getter's mod is shown by, if it has come."""
        seeded = self._mods.get(mod_id)
        return seeded.seeding if seeded is not None and getter in seeded.getters else None

    def is_alone(self, mod_id: bytes, party: bytes) -> bool:
        """Whether so few others fetch a mod now that nothing is held back for them."""
        seeded = self._mods.get(mod_id)
        parties = {party}
        if seeded is not None:
            fetching = seeded.getters.items()
            parties.update(one for getter, one in fetching if getter not in seeded.repeating)
        return len(parties) < limits.SEED_PARTIES

    def wants(self, mod_id: bytes, getter: Getter, *, again: bool) -> bool:
        """What a getter wants next, it has had or not; whether it has, and had not before."""
        seeded = self._mods.get(mod_id)
        if seeded is None or getter not in seeded.getters:
            return False
        if not again:
            seeded.repeating.discard(getter)
            return False
        is_first = getter not in seeded.repeating
        seeded.repeating.add(getter)
        return is_first

    def closed(self, mod_id: bytes, getter: Getter) -> None:
        """A getter has gone; nothing is kept of a mod that no getter fetches."""
        seeded = self._mods.get(mod_id)
        if seeded is not None and seeded.getters.pop(getter, None) is not None:
            seeded.seeding.leave(getter)
            seeded.repeating.discard(getter)
            if not seeded.getters:
                del self._mods[mod_id]


class Seeder:
    """Shows parts to the peer of one link, on those of its streams that others compete with."""

    def __init__(self, seeds: Seeds, link: LinkPort, streams: ServedStreams) -> None:
        self._seeds = seeds
        self._link = link
        self._party = link.network or link.peer_id
        """Whose getter it is; each peer of a private network is one."""
        self._streams = streams
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._mods: dict[int, bytes] = {}
        self._in_parts: set[int] = set()
        self._draining: dict[int, asyncio.TimerHandle] = {}
        """Streams whose peer is to be shown more once what it was sent has left."""

    def opened(self, number: int, stream: ServedStream, held: Held) -> bool:
        """A stream has begun; whether its peer is shown its mod in parts."""
        if not held.complete:
            return False
        alone = self._seeds.is_alone(stream.mod_id, self._party)
        self._mods[number] = stream.mod_id
        self._seeds.opened(
            *(stream.mod_id, (self, number), self._party),
            *(held.chunks, self._loop.time()),
        )
        if not alone:
            self._in_parts.add(number)
        return not alone

    def begin(self, number: int) -> None:
        """The peer of a stream that is shown parts knows that: show the first."""
        if number in self._in_parts and (seeding := self._seeding(number)) is not None:
            seeding.join((self, number), self._loop.time())
            self.look(number)
            self._look_later()

    def asked(self, number: int) -> None:
        """The peer asked for chunks."""
        if (seeding := self._seeding(number)) is not None:
            seeding.asked((self, number))
            self.look(number)

    def wants(self, number: int, *, again: bool) -> None:
        """What is sent next to the peer it has had before, or not.

        Nothing is held back from the others for a peer that has had it, or from that peer.
        """
        mod_id, getter = self._mods.get(number), (self, number)
        if mod_id is None or not self._seeds.wants(mod_id, getter, again=again):
            return
        if number in self._in_parts and (seeding := self._seeding(number)) is not None:
            self._show(number, seeding.show_rest(getter, self._loop.time()))

    def sent(self, number: int, chunk: int) -> None:
        """The peer was sent a chunk."""
        if (seeding := self._seeding(number)) is not None:
            seeding.sent((self, number), chunk, self._loop.time())
            self.look(number)

    def look(self, number: int) -> None:
        """Show the peer more, if it is time."""
        stream, seeding = self._streams.get(number), self._seeding(number)
        if stream is None or seeding is None:
            return
        if not stream.wanted and self._link.buffered_bytes > limits.LINE_REST_BYTES:
            self._look_again(number)  # it will ask for more once this has come
            return
        now, getter = self._loop.time(), (self, number)
        if seeding.is_due(getter, len(stream.wanted), now, idle=self._seeds.line.is_idle):
            alone = self._seeds.is_alone(stream.mod_id, self._party)
            self._show(number, seeding.show(getter, now, alone=alone))

    def _show(self, number: int, fields: list[tuple[int, bytes]]) -> None:
        most = self._streams.piece_bytes
        for first, bits in fields:
            for at in range(0, len(bits), most):
                with contextlib.suppress(LinkClosed):
                    part = bits[at : at + most]
                    self._streams.send(frames.Have(number, first + 8 * at, part))

    def _seeding(self, number: int) -> Seeding | None:
        mod_id = self._mods.get(number)
        return None if mod_id is None else self._seeds.of(mod_id, (self, number))

    def _look_again(self, number: int) -> None:
        if number not in self._draining:
            self._draining[number] = self._loop.call_later(_DRAINING_S, self._drained, number)

    def _drained(self, number: int) -> None:
        del self._draining[number]
        self.look(number)

    def _look_later(self) -> None:
        if self._timer is None and self._in_parts:
            self._timer = self._loop.call_later(_LOOK_S, self._look_at_all)

    def _look_at_all(self) -> None:
        self._timer = None
        for number in self._in_parts:
            self.look(number)
        self._look_later()

    def closed(self, number: int) -> None:
        """A stream of the peer has ended."""
        self._in_parts.discard(number)
        if (timer := self._draining.pop(number, None)) is not None:
            timer.cancel()
        mod_id = self._mods.pop(number, None)
        if mod_id is not None:
            self._seeds.closed(mod_id, (self, number))

    def stop(self) -> None:
        """The link has ended."""
        for number in tuple(self._mods):
            self.closed(number)
        if self._timer is not None:
            self._timer.cancel()
