"""Whether another machine with a lineage's key has gone on from what was shared here, or forked it.

Records alone tell that only of the next one. Where another one names the newest version, the
versions are walked back from it, until the one of the number that was shared here last: is it
another one, both machines and all followers are told. What cannot be had is asked for again later.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from node.content.vault.vault import Vault
from node.following.chain import VersionChain
from node.following.retrying import Retrying
from node.overlay.lineages.heard import LineageNews
from node.overlay.lineages.lineages import Lineages
from node.overlay.lineages.publisher import Doubt
from protocol import limits
from protocol.content.lineage.history import body_of
from protocol.content.link import LineageLink
from protocol.errors import ModswarmError

_log = logging.getLogger(__name__)

_LOOK_S = 300.0
"""How often it is looked, at no cost, for doubts that no news has brought."""


class ForkWatch:
    """Of all lineages of which this node has the keys. `run` it."""

    def __init__(
        self,
        vault: Vault,
        lineages: Lineages,
        chain: VersionChain,
        join_outcome: Callable[[], Awaitable[object]],
    ) -> None:
        """`join_outcome` waits until this node has joined, or cannot."""
        self._vault = vault
        self._publisher = lineages.publisher
        self._chain = chain
        self._join_outcome = join_outcome
        self._retrying: dict[bytes, Retrying] = {}
        self._has_news = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        lineages.heard.watch(self._heard)

    def _heard(self, news: LineageNews) -> None:
        if self._publisher.has(news.lineage):
            self._has_news.set()

    async def run(self) -> None:
        """Settle each doubt, one after another, until cancelled."""
        await self._join_outcome()
        while True:
            self._has_news.clear()
            waits_s = [await self._try(doubt) for doubt in self._publisher.doubts()]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min([*waits_s, _LOOK_S])):
                    await self._has_news.wait()

    async def _try(self, doubt: Doubt) -> float:
        """Settle a doubt, if it is time; in how many seconds it is tried again."""
        lineage, mod_id = doubt.newest.public_key, body_of(doubt.newest).mod_id
        retrying = self._retrying.setdefault(lineage, Retrying(limits.FORK_AGAIN_S))
        if wait_s := retrying.wait_s(mod_id, self._now()):
            return wait_s
        try:
            if await self._settle(doubt):
                retrying.forget()
                return _LOOK_S
        except ModswarmError as error:
            _log.info("whether a lineage has forked is not known yet: %s", error)
        retrying.failed(mod_id, self._now())
        return retrying.wait_s(mod_id, self._now())

    async def _settle(self, doubt: Doubt) -> bool:
        link = await self._link(doubt.newest.public_key)
        newer, older = doubt.newest, doubt.vouched
        if doubt.is_behind:
            newer, older = older, newer
        is_fork = not await self._chain.goes_on(link, newer, older)
        return await self._publisher.settle(doubt, is_fork=is_fork)

    async def _link(self, lineage_key: bytes) -> LineageLink:
        every = await self._vault.recall(lambda tables: tables.lineages.every())
        keys = (one.keys for one in every if one.seed is not None)
        return next(
            LineageLink(one.public_key, one.reading_key)
            for one in keys
            if one.public_key == lineage_key
        )
