"""The sources of a download: holders of a mod, searched, linked to, and asked by their links."""

from collections.abc import AsyncIterator, Collection, Sequence
from math import inf

from node.content.download.chunk_source import ChunkSource, FindSources
from node.content.download.patience import LookUpTime, Patience
from node.content.origins.origins import NamedBy, NamedOrigin, Origins
from node.content.ports import LinkPort
from node.content.progress import ReportProgress
from node.content.serve.exchange import Exchanges
from node.holders.hints import HolderHints
from node.holders.search import HolderSearch
from node.links.pool.pool import LinkPool
from node.overlay.membership import Membership
from protocol import limits
from protocol.content.link import ModLink
from protocol.identity import PeerId


class Finding:
    """The search for the holders of one mod, and what makes sources of what it finds."""

    def __init__(self, search: HolderSearch, find: FindSources) -> None:
        self.search = search
        self._find = find

    def __call__(self, mod_id: bytes) -> AsyncIterator[ChunkSource]:
        """Search, once more."""
        return self._find(mod_id)


class Finder:
    """Makes the searches of one node's downloads."""

    def __init__(
        self, membership: Membership, pool: LinkPool, exchanges: Exchanges, origins: Origins
    ) -> None:
        self._membership = membership
        self._pool = pool
        self._exchanges = exchanges
        self._origins = origins
        self.hints = HolderHints.of(membership, pool)

    def finding(
        self,
        link: ModLink,
        progress: ReportProgress,
        without: Collection[bytes] = (),
        origins: Sequence[NamedOrigin] = (),
        look_up: LookUpTime | None = None,
    ) -> Finding:
        """A search for holders that are in none of the networks `without`, and for origins.

        Where no person waits, as for the cache, peers alone are asked: `without` is not empty.
        `origins`: those that a lineage names; the link's and the settings' are known. Before
        `look_up` only peers that are linked are found, and whom these name.
        """
        rng = self._membership.environment.rng
        search = HolderSearch(
            *(self._membership.server, self._pool, rng, progress, self.hints),
            look_up,
        )
        named = [*origins, *(NamedOrigin(url, NamedBy.LINK, link.mod_id) for url in link.origins)]

        async def find(mod_id: bytes) -> AsyncIterator[ChunkSource]:
            if not without and not search.is_early:
                for origin in self._origins.sources(named):
                    yield origin
            links = self._links(search, mod_id, link.hinted_peers, without)
            async for source in self._exchanges.sources(links, search):
                yield source

        return Finding(search, find)

    def patience(self, mod_id: bytes, search: HolderSearch, wait_s: float) -> Patience:
        """How long a download waits for a source, and what ends its waiting early."""

        async def until_named() -> None:
            with self._exchanges.told_of_peers(mod_id, search):
                await search.until_named()

        return Patience(*(wait_s, self._until_moved, until_named, search.look_up, self._settles_at))

    def _settles_at(self) -> float:
        joined_at = self._membership.joining.joined_at
        return -inf if joined_at is None else joined_at + limits.GET_SETTLES_S

    async def _until_moved(self) -> None:
        """Return once this machine has come to another network, or has slept."""
        network = self._membership.own_network
        moves = network.moves
        await network.until(lambda: network.moves > moves)

    async def _links(
        self,
        search: HolderSearch,
        mod_id: bytes,
        hinted: Sequence[PeerId],
        without: Collection[bytes],
    ) -> AsyncIterator[LinkPort]:
        """Links to holders, once this node has joined: a download may come right after the start.

        Raises Unreachable if its tries to join have failed so far, and what the search raises.
        """
        await self._membership.check_joined()
        async for link in search.links(mod_id, hinted):
            if link.network not in without:
                yield link
