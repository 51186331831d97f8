"""Whom a search may ask: what records say, and who is linked already."""

from node.links.pool.pool import LinkPool
from node.overlay.server import OverlayServer
from protocol import limits
from protocol.errors import Unexpected
from protocol.identity import PeerId
from protocol.records import ProviderBody, Record


def provider_body(overlay: OverlayServer, record: Record) -> ProviderBody | None:
    """The body of a provider record; None for a record of another kind, which is counted."""
    if isinstance(record.body, ProviderBody):
        return record.body
    overlay.protocol.refuse(Unexpected("a record of another kind among the providers"))
    return None


def most_useful(pool: LinkPool, now: float) -> list[PeerId]:
    """The linked peers to ask though no record names them, the most useful first."""
    worth = {link.peer_id: pool.usefulness.worth(link.peer_id, now) for link in pool.links()}
    return sorted(worth, key=lambda peer: -worth[peer])[: limits.LINKED_ASKED]
