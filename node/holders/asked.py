"""Whom a search may ask: what records say, and who is linked already."""

from node.links.pool.pool import LinkPool
from node.overlay.server import OverlayServer
from protocol import limits, records
from protocol.errors import Unexpected
from protocol.identity import PeerId
from protocol.records import ProviderBody, Record


def provider_body(overlay: OverlayServer, record: Record) -> ProviderBody | None:
    """The body of a provider record; None for a record of another kind, which is counted."""
    if isinstance(record.body, ProviderBody):
        return record.body
    overlay.protocol.refuse(Unexpected("a record of another kind among the providers"))
    return None


async def count_complete(overlay: OverlayServer, mod_id: bytes) -> int:
    """How many others say that they have all of a mod. Raises Unreachable without any answer."""
    reading = await overlay.read(records.provider_key(mod_id), records.PROVIDER)
    reading.check_answered()
    own = overlay.identity.peer_id  # may be there still for what this node has dropped
    others = (record for record in reading.records.values() if record.peer_id != own)
    bodies = (provider_body(overlay, record) for record in others)
    return sum(body is not None and body.complete for body in bodies)


def most_useful(pool: LinkPool, now: float) -> list[PeerId]:
    """The linked peers to ask though no record names them, the most useful first."""
    worth = {link.peer_id: pool.usefulness.worth(link.peer_id, now) for link in pool.links()}
    return sorted(worth, key=lambda peer: -worth[peer])[: limits.LINKED_ASKED]
