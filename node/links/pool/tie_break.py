"""The open links of a node, and the tie-break between two with the same peer."""

from collections.abc import Iterator

from node.links.link import Link
from protocol.identity import PeerId


class OpenLinks:
    """Open links by peer. Two with one peer exist for moments only.

    They arise when the peer lost the first one before we noticed, or when both sides call at
    once. Of two that the same side asked for, the later is kept, by both. Of two that each side
    asked for, only the side with the smaller peer id closes one, so both keep the same: the one
    that opened first, unless the other was asked for after that, which shows that its caller had
    none.
    """

    def __init__(self, own_id: PeerId) -> None:
        self._own_id = own_id
        self._links: dict[PeerId, list[Link]] = {}

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __iter__(self) -> Iterator[Link]:
        """The open links, the oldest first."""
        links = [link for peer_id in self._links for link in self._open(peer_id)]
        return iter(sorted(links, key=lambda link: link.opened_at))

    def get(self, peer_id: PeerId) -> Link | None:
        """The link to use with this peer."""
        return next(iter(self._open(peer_id)), None)

    def add(self, link: Link) -> Link | None:
        """Note an open link; returns the one to close, if there are two and that is our part."""
        links = self._links[link.peer_id] = self._open(link.peer_id)
        for other in links:
            if other.direction == link.direction:
                links.insert(0, link)
                return other
        replaces = not links or link.asked_at >= links[0].opened_at
        links.insert(0 if replaces else 1, link)
        if len(links) == 1 or self._own_id > link.peer_id:
            return None
        return links[1]

    def discard(self, link: Link) -> None:
        """Forget a link, if it is known."""
        links = self._links.get(link.peer_id, [])
        if link in links:
            links.remove(link)
        if not links:
            self._links.pop(link.peer_id, None)

    def _open(self, peer_id: PeerId) -> list[Link]:
        """The links that have not ended: their done callbacks run a turn of the loop later."""
        return [link for link in self._links.get(peer_id, []) if not link.closed.done()]
