"""The origins of a node: which may be asked for a mod, and those that are left alone for now."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from weakref import WeakKeyDictionary

from node.content.download.chunk_source import AnswerReader, ChunkSource
from node.content.origins.client import OriginClient
from node.content.origins.connecting import OwnHosts
from node.content.origins.connections import Asker
from node.content.origins.consent import OriginConsent
from node.content.origins.stream import OriginStream
from node.tasks import TaskOwner
from protocol import limits
from protocol.content.origins.connection_turns import TurnShare
from protocol.content.origins.health import OriginHealth
from protocol.errors import OriginFailed
from protocol.randomness import Random


class OriginSettings(Protocol):
    """What the settings of a node say of origins."""

    @property
    def hide_address(self) -> bool:
        """Whether others are not to learn this node's address."""

    def origin_urls(self) -> tuple[str, ...]:
        """Those that are asked for each mod."""
        ...


class NamedBy(StrEnum):
    """Where the address of an origin comes from."""

    CONFIG = "config"
    LINK = "link"
    LINEAGE = "lineage"


@dataclass(frozen=True, slots=True)
class NamedOrigin:
    """An origin's URL, as `origin_url` spells it, and whose word it is.

    `subject`: the mod id or the lineage key under which a person agreed; none for the config's.
    """

    url: str
    by: NamedBy
    subject: bytes = b""


class OriginSource:
    """An origin for one download: a ChunkSource."""

    def __init__(self, origins: "Origins", named: NamedOrigin) -> None:
        self.name = named.url
        self._origins = origins
        self._named = named

    def open(self, mod_id: bytes, reader: AnswerReader) -> OriginStream:
        """Begin a stream; raises OriginFailed while the origin is left alone."""
        return self._origins.open(self._named, mod_id, reader)


class Origins:
    """All origins of a node. `close` it before the loop ends.

    `configured` are those of the node's own settings. `hidden`: the node hides its address, so it
    asks none that others name.
    """

    def __init__(
        self,
        client: OriginClient,
        consent: OriginConsent,
        rng: Random,
        configured: Sequence[str] = (),
        *,
        hidden: bool = False,
    ) -> None:
        self.consent = consent
        self._client = client
        self._rng = rng
        self._configured = tuple(NamedOrigin(url, NamedBy.CONFIG) for url in configured)
        self.hidden = hidden
        self._health: dict[tuple[str, bytes], OriginHealth] = {}
        """How servers do, and how what they have of single mods does: one mod that was uploaded
        badly says nothing of the others there."""
        self._shares: WeakKeyDictionary[AnswerReader, TurnShare] = WeakKeyDictionary()
        """The claims of downloads to connections: each has one, however many origins it has."""
        self._tasks = TaskOwner("origins")

    @classmethod
    def of(
        cls, settings: OriginSettings, answers: Path, rng: Random, own_hosts: OwnHosts
    ) -> "Origins":
        """Those of a node; `answers` is the file in which a person's answers are kept."""
        consent = OriginConsent(answers)
        urls, hidden = settings.origin_urls(), settings.hide_address
        return cls(OriginClient(own_hosts=own_hosts), consent, rng, urls, hidden=hidden)

    @property
    def defects(self) -> list[BaseException]:
        """What requests raised that neither the network nor a server can be blamed for."""
        return self._tasks.defects

    async def close(self) -> None:
        """End all requests and connections."""
        await self._tasks.close()
        await self._client.close()

    def sources(self, named: Sequence[NamedOrigin] = ()) -> Iterator[ChunkSource]:
        """Those that may be asked: of the settings, and of `named` those that a person agreed to.

        One of the settings is not asked again as one of a link.
        """
        chosen = {one.url: one for one in self._configured}
        for one in named:
            if self.may_ask(one):
                chosen.setdefault(one.url, one)
        for one in chosen.values():
            yield OriginSource(self, one)

    def may_ask(self, named: NamedOrigin) -> bool:
        """Whether a request may leave for it."""
        if named.by is NamedBy.CONFIG:
            return True
        return not self.hidden and self.consent.agreed(named.subject, named.url)

    def open(self, named: NamedOrigin, mod_id: bytes, reader: AnswerReader) -> OriginStream:
        """Begin a stream; raises OriginFailed while the origin is left alone."""
        server, files = self._known(named.url), self._known(named.url, mod_id)
        worse = max(server, files, key=lambda one: one.rests_until)
        left_s = worse.rests_until - asyncio.get_running_loop().time()
        if left_s > 0:
            raise OriginFailed(f"{worse.why}; it is asked again in {left_s:.0f} s")
        share = self._shares.get(reader) or TurnShare(reader.weight)
        self._shares[reader] = share
        return OriginStream(
            *(named.url, mod_id, reader, self._client, Asker(share)),
            *(server, files, self._tasks, self._rng),
            trusted=named.by is NamedBy.CONFIG,
        )

    def _known(self, url: str, mod_id: bytes = b"") -> OriginHealth:
        health = self._health.pop((url, mod_id), None) or OriginHealth()
        self._health[url, mod_id] = health
        if len(self._health) > limits.ORIGINS_REMEMBERED:
            del self._health[next(iter(self._health))]
        return health
