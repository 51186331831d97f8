"""What a restart needs: the parts that all links of a node share, and the link."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from node.links.link import Link
from node.links.path.ice import IcePath
from node.links.path.paths import LinkPaths
from node.links.pool.pending import PlaceCall
from node.links.punching.punching import LinkPunching
from node.tasks import TaskOwner
from protocol.description import Description
from protocol.identity import PeerId

LookAround = Callable[[], Coroutine[Any, Any, None]]
"""Asks contacts where they see this node; returns once enough have answered, or soon."""


@dataclass(frozen=True, slots=True)
class RestartParts:
    """What the restarts of all links of a node share."""

    own_id: PeerId
    fingerprint: bytes
    paths: LinkPaths
    punching: LinkPunching
    place_call: PlaceCall
    look_around: LookAround
    tasks: TaskOwner


@dataclass(frozen=True, slots=True)
class RestartableLink:
    """A link by the id of the offer that made it, with the descriptions of both sides."""

    link_id: bytes
    link: Link
    own: Description
    peer: Description
    ice: IcePath

    @property
    def peer_id(self) -> PeerId:
        """The other side."""
        return self.link.peer_id
