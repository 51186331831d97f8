"""How full the tables of a world are, and how full they could be."""

from collections.abc import Sequence

from simulations.harness.statistics import mean
from simulations.residents.world import Resident


def contacts_possible(own_id: bytes, ids: Sequence[bytes], k: int) -> int:
    """How many contacts a table around `own_id` holds at most: k of each bucket, if there are."""
    own = int.from_bytes(own_id)
    members: dict[int, int] = {}
    for other in ids:
        bucket = (own ^ int.from_bytes(other)).bit_length()
        members[bucket] = members.get(bucket, 0) + 1
    members.pop(0, None)
    return sum(min(k, count) for count in members.values())


def table_report(residents: Sequence[Resident], k: int) -> dict[str, float]:
    """How many contacts the nodes know on average, and of how many that they could know."""
    ids = [one.identity.peer_id for one in residents]
    known = mean([len(one.running.server.tables) for one in residents])
    possible = mean([contacts_possible(one, ids, k) for one in ids])
    return {
        "mean": round(known, 2),
        "possible": round(possible, 2),
        "share": round(known / possible, 4) if possible else 1.0,
    }
