"""Bridges: contacts that reach a peer by the address family that a caller lacks.

A peer that is reached unasked registers with no contact, since all can call it at its address: all
but callers without that address family. A contact of both families that has the peer in its table
forwards their calls.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from node.overlay.server import OverlayServer
from node.overlay.table.tables import OTHER_FAMILY
from protocol.errors import ModswarmError
from protocol.identity import PeerId
from protocol.overlay.contacts import Contact

_log = logging.getLogger(__name__)


async def find_bridges(
    server: OverlayServer,
    peer_id: PeerId,
    contacts: Iterable[Contact],
    found: Callable[[Contact], None],
) -> None:
    """Give `found` each of these contacts that names the peer at an address of the other family
    than its own, as soon as it does: the peer is called through it, as through a registrar.

    Unlike those of registrars its word is not proved.
    """

    async def ask(contact: Contact) -> None:
        try:
            named = await server.protocol.call_find_node(
                contact, peer_id, OTHER_FAMILY[contact.family]
            )
        except ModswarmError as error:
            _log.debug("%r does not say whom it knows: %s", contact, error)
            return
        if any(one.peer_id == peer_id for one in named.contacts):
            found(contact)

    await asyncio.gather(*map(ask, contacts))
