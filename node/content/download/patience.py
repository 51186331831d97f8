"""How long a download whose sources have gone waits for them, and when it searches again meanwhile.

A search is repeated while a download runs: seldom while it is served, soon and more seldom each
time while nothing comes, and at once when the last source went or this node's network changed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf

from node.content.download.chunk_source import ChunkSource, FindSources
from protocol import limits
from protocol.errors import ModswarmError


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


@dataclass(slots=True)
class LookUpTime:
    """When a download begins to look its mod up, in seconds of the loop's clock.

    Before that it asks the peers that are linked, over and over, and calls whom these name.
    """

    at: float = -inf

    def not_after(self, other: "LookUpTime") -> None:
        """Begin when the other one does, if that is sooner."""
        self.at = min(self.at, other.at)


@dataclass(frozen=True, slots=True)
class Patience:
    """What one person's `get` waits for. `until_moved` returns once the node's network changed."""

    wait_s: float = 0.0
    """How long for a source that was lost midway, since anything came."""
    until_moved: Callable[[], Awaitable[None]] = _never
    until_named: Callable[[], Awaitable[None]] = _never
    """Returns once peers are known that are worth a search of their own, which costs little."""
    look_up: LookUpTime = field(default_factory=LookUpTime)
    """Until then no search is the last one."""
    settles_at: Callable[[], float] = lambda: -inf
    """Until then that nothing was found is not the last word: this node has joined a moment ago,
    and those that share the mod may have started with it."""


@dataclass(slots=True)
class Waiting:
    """The wait of one download. Times are seconds of the loop's clock.

    `lost` has the sources that had opened a stream and went away, by name, and why.
    """

    wait_s: Callable[[], float]
    lost: dict[str, str] = field(default_factory=dict)
    _since: float | None = None

    def progressed(self) -> None:
        """Something that was asked for came: the whole time is there again."""
        self._since = None

    def begin(self, now: float) -> bool:
        """Nothing can come now; whether this is the first moment since something came."""
        is_new = self._since is None
        self._since = now if self._since is None else self._since
        return is_new

    def waited_s(self, now: float) -> float:
        """For how long nothing has come, since nothing could."""
        return 0.0 if self._since is None else now - self._since

    def left_s(self, now: float) -> float:
        """How long to go on; 0 where no source that served is missing."""
        return max(0.0, self.wait_s() - self.waited_s(now)) if self.lost else 0.0

    def is_over(self, now: float) -> bool:
        """Whether a source was waited for, as long as the person said: no search prolongs that."""
        return bool(self.lost) and 0 < self.wait_s() <= self.waited_s(now)


class SearchRounds:
    """Searches for sources, over and over. `error` is why the last search failed, if it did."""

    def __init__(self, find: FindSources, mod_id: bytes, look_up: LookUpTime) -> None:
        self._find = find
        self._mod_id = mod_id
        self._look_up = look_up
        self._now = asyncio.get_running_loop().time
        self._anew = asyncio.Event()
        self._began_at = -inf
        self._in_vain = 0
        self._is_served = False
        self._is_last = False
        self._is_extra = False
        self._extra_in_vain = 0
        self.searching = True
        """False between two searches."""
        self.is_early = False
        """Whether the last search looked nothing up yet."""
        self.error: ModswarmError | None = None

    def search_anew(self) -> None:
        """Search at once, or after the search that is under way."""
        self._in_vain = self._extra_in_vain = 0
        self._anew.set()

    def search_once_more(self) -> bool:
        """Search before the download is given up; False if that was done."""
        is_first, self._is_last = not self._is_last, True
        if is_first:
            self.searching = True  # from now on, and not when the search's turn comes
            self.search_anew()
        return is_first

    def call_named(self) -> None:
        """Search soon, once more than otherwise: peers are known that have not been called."""
        self._is_extra = True
        self._anew.set()

    def settle(self, *, served: bool) -> None:
        """Whether sources serve by now; the pauses begin anew with each change."""
        if served != self._is_served:
            self._is_served, self._in_vain, self._extra_in_vain = served, 0, 0

    async def run(self, take: Callable[[ChunkSource], None], ended: Callable[[], None]) -> None:
        """Give each source that is found to `take`, and call `ended` after each search."""
        while True:
            self.searching, self._began_at = True, self._now()
            self.is_early = self._began_at < self._look_up.at
            self._anew.clear()
            self._is_extra = False
            await self._search(take)
            self.searching = False
            ended()
            await self._pause()

    async def _search(self, take: Callable[[ChunkSource], None]) -> None:
        try:
            async for source in self._find(self._mod_id):
                take(source)
            self.error = None
        except ModswarmError as error:
            self.error = error

    async def _pause(self) -> None:
        first_s, most_s = limits.SEARCH_SERVED_S if self._is_served else limits.SEARCH_LOST_S
        pause_s = min(first_s * 2.0 ** min(self._in_vain, 16), most_s)
        if self.is_early:
            pause_s = min(pause_s, max(0.0, self._look_up.at - self._now()))
        self._in_vain += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._anew.wait()
        self._in_vain = max(0, self._in_vain - self._is_extra)
        again_s = self._extra_pause_s(most_s) if self._is_extra else limits.SEARCH_AGAIN_S
        await asyncio.sleep(max(0.0, self._began_at + again_s - self._now()))

    def _extra_pause_s(self, most_s: float) -> float:
        """Two linked peers that lack the mod cause one another's searches: ever more seldom."""
        if self._is_served:
            return limits.NAMED_AGAIN_S
        self._extra_in_vain += 1
        return min(limits.NAMED_AGAIN_S * 2.0 ** min(self._extra_in_vain - 1, 16), most_s)
