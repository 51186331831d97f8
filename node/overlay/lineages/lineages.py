"""All that a node does with records of lineages in the DHT, wired together."""

from node.environment import Environment
from node.overlay.lineages.heard import HeardLineages
from node.overlay.lineages.publisher import LineagePublisher
from node.overlay.lineages.reader import LineageReader
from node.overlay.lineages.storing import LineageStoring
from node.overlay.server import OverlayServer
from protocol import records


class Lineages:
    """`heard` is what was seen; `reader`, `storing` and `publisher` work by it."""

    def __init__(self, server: OverlayServer, environment: Environment) -> None:
        self.heard = HeardLineages()
        self.reader = LineageReader(server, self.heard, environment)
        self.publisher = LineagePublisher(server, self.reader, self.heard, environment)
        self.storing = LineageStoring(
            server, self.reader, self.heard, environment, is_own=self.publisher.has
        )
        server.storage.watch(records.LINEAGE, self.heard.hear_stored)

    def unfollow(self, lineage: bytes) -> None:
        """It is followed no more; one that this node publishes itself is kept all the same."""
        if not self.publisher.has(lineage):
            self.heard.drop(lineage)
            self.reader.forget(lineage)
