"""What a node knows of holders without asking anyone: whose filters it saw, how far they are."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from node.links.pool.pool import LinkPool
from node.overlay.membership import Membership
from protocol import records
from protocol.content.holders.seen_filters import SeenFilters
from protocol.identity import PeerId
from protocol.records import Record


def _no_peers(_mod_id: bytes) -> Sequence[PeerId]:
    return ()


def _unknown(_peer_id: PeerId) -> float | None:
    return None


def _ignore(_record: Record) -> None:
    return


@dataclass(frozen=True, slots=True)
class HolderHints:
    """The peers whose filters have a mod, the best first; the round trip to a peer in seconds, if
    it was measured; and what takes each record of a filter that is read.
    """

    who_have: Callable[[bytes], Sequence[PeerId]] = _no_peers
    round_trip_s: Callable[[PeerId], float | None] = _unknown
    saw: Callable[[Record], None] = _ignore

    @classmethod
    def of(cls, membership: Membership, pool: LinkPool) -> Self:
        """Those of a node, which from now on learn of each filter that others store at it."""
        server, environment, loop_time = (
            membership.server,
            membership.environment,
            asyncio.get_running_loop().time,
        )
        seen = SeenFilters(
            server.identity.peer_id,
            lambda peer_id: pool.usefulness.worth(peer_id, loop_time()),
            environment.rng,
        )
        server.storage.watch(records.AVAILABILITY, seen.take)

        def round_trip_s(peer_id: PeerId) -> float | None:
            link = pool.get(peer_id)
            measured = link.round_trip_s if link is not None else None
            return measured or server.wire.round_trip_s(int.from_bytes(peer_id))

        return cls(
            lambda mod_id: seen.who_have(mod_id, environment.wall()), round_trip_s, seen.take
        )
