"""The search for holders when all places are taken by holders that serve."""

import asyncio
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from node.holders.search import HolderSearch
from node.overlay.server import OverlayServer
from protocol import limits
from protocol.identity import PeerId
from tests.node.holder_doubles import OverlayDouble, PoolDouble


class Pool(PoolDouble):
    """Links to whoever is called, at once, and notes when."""

    def __init__(self) -> None:
        super().__init__()
        self.called_at: dict[PeerId, list[float]] = {}

    async def open_link(self, peer_id: PeerId) -> Any:
        """A link."""
        loop = asyncio.get_running_loop()
        self.called_at.setdefault(peer_id, []).append(loop.time())
        return SimpleNamespace(peer_id=peer_id, signaled_via=(), closed=loop.create_future())


class ServedBySlowOnes:
    """A download that gets a small chunk of each link each second until it gives way."""

    def __init__(self, holders: int) -> None:
        peers = [PeerId(number.to_bytes(20)) for number in range(1, holders + 1)]
        self.pool = Pool()
        overlay = cast("OverlayServer", OverlayDouble())
        self.search = HolderSearch(overlay, cast("Any", self.pool), Random(1))
        self._links = self.search.links(bytes(32), peers)
        self._open: dict[PeerId, Any] = {}

    async def run(self, seconds: int) -> None:
        """Go on for so long."""
        finding = asyncio.create_task(self._find())
        for _ in range(seconds):
            await asyncio.sleep(1.0)
            for peer_id in self._open:
                self.search.proved(peer_id, 1000)
        finding.cancel()
        await asyncio.gather(finding, return_exceptions=True)
        await self._links.aclose()  # type: ignore[attr-defined]

    async def _find(self) -> None:
        async for link in self._links:
            self._open[PeerId(link.peer_id)] = link
            self.search.opened(link.peer_id, self._gives_way(link))

    def _gives_way(self, link: Any) -> Callable[[], None]:
        def give_way() -> None:
            del self._open[link.peer_id]
            link.closed.set_result("it gave way")
            self.search.left(link.peer_id)

        return give_way


async def test_who_serves_no_faster_than_others_rests_before_it_is_called_again() -> None:
    served = ServedBySlowOnes(2 * limits.PROVIDERS_TRIED + 10)
    await served.run(int(limits.SILENT_S) - 10)
    called_at = served.pool.called_at
    assert len(called_at) == 2 * limits.PROVIDERS_TRIED + 10, "all were tried"
    assert {len(times) for times in called_at.values()} == {1}


async def test_who_has_rested_is_called_again() -> None:
    served = ServedBySlowOnes(2 * limits.PROVIDERS_TRIED + 10)
    await served.run(int(limits.SILENT_S + 2 * limits.HOLDER_PROOF_S) + 2)
    times = [times for times in served.pool.called_at.values() if len(times) > 1]
    assert len(times) >= 10
    for first, second in times:
        assert second - first >= limits.SILENT_S + limits.HOLDER_PROOF_S
