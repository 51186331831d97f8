"""The restarts of all open links of a node, by the offers that made the links."""

import asyncio

from node.links.restarting.parts import RestartableLink, RestartParts
from node.links.restarting.restart import LinkRestart
from node.tasks import TaskOwner
from protocol.description import Description
from protocol.errors import NoSuchLink
from protocol.identity import peer_id_of
from protocol.signaling import Offer


class LinkRestarts:
    """Each link is here from when it opens until it closes."""

    def __init__(self, parts: RestartParts) -> None:
        self._parts = parts
        self._links: dict[bytes, tuple[RestartableLink, LinkRestart]] = {}

    def __len__(self) -> int:
        return len(self._links)

    @property
    def tasks(self) -> TaskOwner:
        """What restarts links."""
        return self._parts.tasks

    def add(self, link: RestartableLink, closed: asyncio.Future[str]) -> None:
        """A link has opened; `closed` is done at its end."""
        self._links[link.link_id] = link, LinkRestart(self._parts, link)
        closed.add_done_callback(lambda _: self._forget(link))

    def _forget(self, link: RestartableLink) -> None:
        _, restart = self._links.pop(link.link_id)
        restart.end()

    async def answer(self, offer: Offer) -> Description:
        """Our description for a peer that restarts a link, whose offer has been verified.

        Raises NoSuchLink, CallCrossed, Busy.
        """
        link, restart = self._links.get(offer.description.link, (None, None))
        if link is None or restart is None or link.peer_id != peer_id_of(offer.caller_key):
            raise NoSuchLink
        return await restart.answer(offer.description, offer.offer_id, offer.answer_takes_s)

    def doubt(self) -> None:
        """This machine has come to another network: see which links are still there."""
        for link, restart in list(self._links.values()):
            link.ice.doubt()
            restart.moved()

    async def close(self) -> None:
        """End what restarts."""
        await self.tasks.close()
