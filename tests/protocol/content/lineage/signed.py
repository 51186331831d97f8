"""Records of lineages, as their publishers sign them in tests."""

from protocol.content.lineage import history
from protocol.identity import Identity
from protocol.records import Record

PUBLISHER = Identity(bytes(range(32)))
"""Signs for the one lineage that most tests need."""
LINEAGE_KEY = PUBLISHER.public_key
NOW_S = 1_700_000_000.0


def signed(
    newest: Record | None = None,
    now: float = NOW_S,
    *,
    lineage: Identity = PUBLISHER,
    number: int = 0,
) -> Record:
    """The record of the next version after `newest`; `number` tells mods apart."""
    return history.next_record(
        lineage,
        newest,
        mod_id=bytes((number,)) * 32,
        version=1 if newest is None else history.body_of(newest).version + 1,
        wrapped_key=bytes(48),
        now=now,
    )


def signed_for(lineage: int, newest: Record | None = None) -> Record:
    """The same of another lineage for each number."""
    return signed(newest, lineage=Identity(lineage.to_bytes(32)))
