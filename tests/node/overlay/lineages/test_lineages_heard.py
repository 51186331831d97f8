"""What a node remembers of lineages: bounded, and written down as it changes."""

import asyncio

from node.overlay.lineages.heard import HeardLineages
from protocol.content.lineage.history import Age
from protocol.records import Record
from tests.protocol.content.lineage.signed import signed_for


async def test_of_what_is_not_kept_the_least_recently_changed_is_forgotten() -> None:
    heard, kept = HeardLineages(max_heard=10), signed_for(1)
    heard.keep(kept.public_key, kept)
    looked_at = [signed_for(number) for number in range(100, 120)]
    for record in looked_at:
        heard.hear(record)
    assert len(heard) == 11
    assert heard.newest(kept.public_key) == kept == heard.newest_under(kept.key)
    assert heard.is_kept(kept.key)
    known = [record for record in looked_at if heard.newest(record.public_key) is not None]
    assert known == looked_at[10:]
    heard.drop(kept.public_key)
    assert len(heard) == 10
    assert heard.kept() == []
    assert not heard.is_kept(kept.key)


async def test_what_was_seen_outlives_the_run_and_older_records_stay_older() -> None:
    first = signed_for(1)
    second = signed_for(1, first)
    heard = HeardLineages()
    writing = asyncio.ensure_future(heard.until_changed())
    heard.hear(second)
    await writing
    written = heard.changed()
    assert heard.changed() == {}
    again = HeardLineages()
    again.restore((lineage, seen) for lineage, seen in written.items() if seen is not None)
    told: list[Record] = []
    again.watch(lambda news: told.append(news.record))
    assert again.hear(first).age is Age.OLDER
    assert told == []
    assert again.newest(first.public_key) is None
    assert again.hear(second).age is Age.SAME
    assert told == [second], "its bytes were not known any more"
    assert again.changed() == {}


async def test_what_a_node_had_written_down_is_followed_until_newer_bytes_come() -> None:
    first = signed_for(1)
    second = signed_for(1, first)
    heard = HeardLineages()
    heard.hear(second)
    again = HeardLineages()
    again.restore((lineage, seen) for lineage, seen in heard.changed().items() if seen is not None)
    again.keep(first.public_key, first)
    assert again.newest(first.public_key) == first
    again.hear(second)
    assert again.newest(first.public_key) == second


async def test_what_is_forgotten_is_written_down_as_forgotten() -> None:
    heard = HeardLineages(max_heard=1)
    one, other = signed_for(1), signed_for(2)
    heard.hear(one)
    heard.hear(other)
    changed = heard.changed()
    assert changed[one.public_key] is None
    assert changed[other.public_key] is not None
