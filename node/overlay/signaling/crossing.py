"""Registrars of both address families, for a peer that has one: callers of the other reach them."""

import asyncio
import logging
from collections.abc import Sequence

from node.overlay.server import OverlayServer
from node.overlay.table.tables import OTHER_FAMILY
from protocol import limits
from protocol.errors import ModswarmError
from protocol.overlay.contacts import Contact

_log = logging.getLogger(__name__)


class Crossings:
    """Which of the contacts nearest to this node's id have contacts of the other family.

    A caller of that family finds those nearest to the id, as it looks among all that it reaches.
    What a contact says is remembered while it is among the nearest.
    """

    def __init__(self, server: OverlayServer) -> None:
        self._server = server
        self._crosses: dict[Contact, bool] = {}

    async def nearest(self, closest: Sequence[Contact]) -> list[Contact]:
        """The REGISTRARS_CROSSING nearest of these; none for a node that reaches both families.

        Its sockets do not tell: a network may give addresses of IPv6 and pass nothing by it.
        """
        if all(map(len, self._server.tables)):
            return []
        self._crosses = {one: is_so for one, is_so in self._crosses.items() if one in closest}
        found: list[Contact] = []
        left = list(closest)
        while left and len(found) < limits.REGISTRARS_CROSSING:
            asked, left = left[: limits.REGISTRARS_CALLED], left[limits.REGISTRARS_CALLED :]
            await asyncio.gather(*(self._ask(contact) for contact in asked))
            found += [contact for contact in asked if self._crosses.get(contact)]
        return found[: limits.REGISTRARS_CROSSING]

    async def _ask(self, contact: Contact) -> None:
        if contact in self._crosses:
            return
        own_id, other = self._server.identity.peer_id, OTHER_FAMILY[contact.family]
        try:
            named = await self._server.protocol.call_find_node(contact, own_id, other)
        except ModswarmError as error:
            _log.debug("%r does not say whom it knows: %s", contact, error)
            return
        self._crosses[contact] = bool(named.contacts)
