"""What a node hears of versions, by links and by the DHT, and what it remembers of that."""

from node.content.vault.vault import Vault
from node.following.news import News
from node.following.remembering import Remembering
from node.links.pool.pool import LinkPool
from node.overlay.membership import Membership
from node.tasks import TaskOwner


class Hearing:
    """`start` it before the links to come, and `close` it before the vault.

    `news` is told what this node follows; `membership.lineages.heard` tells what comes.
    """

    def __init__(self, vault: Vault, membership: Membership, pool: LinkPool) -> None:
        heard, wall = membership.lineages.heard, membership.own_clock.now
        serves, puzzle_bits = membership.presence.serves, membership.settings.puzzle_bits
        self.news = News(heard, serves, wall, puzzle_bits=puzzle_bits)
        self._remembering = Remembering(vault, heard, wall)
        self._pool = pool
        self._tasks = TaskOwner("hearing")

    @property
    def defects(self) -> list[BaseException]:
        """What its task raised unforeseen."""
        return self._tasks.defects

    async def start(self) -> None:
        """Give back what was remembered, then take part in the links to come."""
        await self._remembering.load()
        self._pool.subscribe(self.news.attach)
        self._tasks.start(self._remembering.run(), name="write down what was seen of lineages")

    async def close(self) -> None:
        """Write down what is not yet."""
        await self._tasks.close()
        await self._remembering.save()
