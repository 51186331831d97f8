"""News of versions over links: noticed at once, passed on, bounded, and always verified."""

import asyncio
from typing import Any

import pytest

from node.following.news import News
from node.overlay.lineages.heard import HeardLineages, LineageNews
from protocol import limits, records
from protocol.content.lineage import history
from protocol.content.lineage.frames import (
    FollowFrame,
    NewsFrame,
    decode_lineage_frame,
    encode_lineage_frame,
)
from protocol.errors import RemoteError
from protocol.identity import Identity
from protocol.records import PROVIDER, ProviderBody, Record, lineage_key, make
from tests.node.content.memory_links import MemoryLink
from tests.protocol.content.lineage.signed import LINEAGE_KEY, NOW_S, PUBLISHER, signed

KEY = lineage_key(LINEAGE_KEY)
NOTICED_S = 5.0


class NewsEnd(MemoryLink):
    """An end that closes its link for what breaks a rule, as links do."""

    def receive(self, frame: bytes) -> None:
        try:
            super().receive(frame)
        except RemoteError as error:
            self.cut(error.name)


class Peer:
    """A node's news, without the node. `told`: what its follower would hear."""

    def __init__(self, number: int) -> None:
        self.peer_id = bytes((number,)) * 20
        self.heard = HeardLineages()
        self.served = set[bytes]()
        self.news = News(self.heard, self.served.__contains__, lambda: NOW_S, puzzle_bits=0)
        self.told: list[LineageNews] = []
        self.heard.watch(self.told.append)

    def follow(self, newest: Record | None = None, lineage: bytes = LINEAGE_KEY) -> None:
        self.heard.keep(lineage, newest)
        self.news.follow(lineage)

    def records(self) -> list[Record]:
        return [news.record for news in self.told]


def linked(left: Peer, right: Peer) -> tuple[NewsEnd, NewsEnd]:
    ends = NewsEnd(right.peer_id, 65000), NewsEnd(left.peer_id, 65000)
    ends[0].other, ends[1].other = ends[1], ends[0]
    left.news.attach(ends[0])
    right.news.attach(ends[1])
    return ends


def hostile(peer: Peer) -> tuple[NewsEnd, list[bytes]]:
    """The end of one that may say anything to a peer, and the frames that it gets."""
    heard: list[bytes] = []
    ends = NewsEnd(peer.peer_id, 65000), NewsEnd(bytes(20), 65000)
    ends[0].other, ends[1].other = ends[1], ends[0]
    ends[0].register(range(32, 34), heard.append)
    peer.news.attach(ends[1])
    return ends[0], heard


FIRST = signed()
SECOND = signed(FIRST)


async def test_a_follower_hears_at_once_of_what_a_linked_node_knows_or_learns() -> None:
    holder, follower = Peer(1), Peer(2)
    holder.heard.keep(LINEAGE_KEY, FIRST)
    linked(holder, follower)
    follower.follow()
    await asyncio.sleep(NOTICED_S)
    assert follower.records() == [FIRST]
    holder.heard.hear(SECOND)
    await asyncio.sleep(NOTICED_S)
    assert follower.records() == [FIRST, SECOND]
    assert holder.records() == [SECOND], "nothing came back"


async def test_a_holder_that_does_not_follow_tells_a_link_that_opens_later() -> None:
    """Of the version that it serves; what it only looked up it keeps to itself."""
    getter, reader, follower = Peer(1), Peer(2), Peer(3)
    for peer in (getter, reader):
        peer.heard.hear(SECOND)
    getter.served.add(history.body_of(SECOND).mod_id)
    reader.served.add(history.body_of(signed(number=1)).mod_id)
    follower.follow()
    linked(reader, follower)
    await asyncio.sleep(NOTICED_S)
    assert follower.records() == []
    linked(getter, follower)
    await asyncio.sleep(NOTICED_S)
    assert follower.records() == [SECOND]


async def test_news_goes_along_a_chain_of_followers() -> None:
    publisher, middle, end = Peer(1), Peer(2), Peer(3)
    publisher.heard.keep(LINEAGE_KEY)
    links = linked(publisher, middle), linked(middle, end)
    middle.follow()
    end.follow()
    publisher.heard.hear(FIRST)
    await asyncio.sleep(NOTICED_S)
    assert middle.records() == end.records() == [FIRST]
    sent = [one.frames_sent for pair in links for one in pair]
    await asyncio.sleep(60.0)
    assert sent == [one.frames_sent for pair in links for one in pair] == [1, 1, 2, 1]


async def test_a_link_that_opens_later_brings_what_was_missed_even_if_it_has_expired() -> None:
    old = signed(None, NOW_S - 60 * 86400)
    holder, follower = Peer(1), Peer(2)
    holder.heard.keep(LINEAGE_KEY, old)
    follower.follow()
    linked(follower, holder)
    await asyncio.sleep(NOTICED_S)
    assert follower.records() == [old]
    assert old.expires < NOW_S


async def test_it_is_known_whether_a_linked_peer_follows_as_well() -> None:
    """One that holds a mod of the lineage and does not follow is none that will have the next."""
    follower, holder, fellow = Peer(1), Peer(2), Peer(3)
    holder.heard.keep(LINEAGE_KEY, FIRST)
    follower.follow()
    linked(follower, holder)
    await asyncio.sleep(NOTICED_S)
    assert not follower.news.has_fellows(LINEAGE_KEY)
    assert holder.news.has_fellows(LINEAGE_KEY)
    fellow.follow()
    ends = linked(fellow, follower)
    await asyncio.sleep(NOTICED_S)
    assert follower.news.has_fellows(LINEAGE_KEY)
    assert not follower.news.has_fellows(bytes(32))
    ends[0].cut("gone")
    await asyncio.sleep(NOTICED_S)
    assert not follower.news.has_fellows(LINEAGE_KEY)


async def test_what_is_not_followed_is_neither_told_nor_asked_for() -> None:
    holder, other = Peer(1), Peer(2)
    holder.heard.keep(LINEAGE_KEY, FIRST)
    ends = linked(holder, other)
    other.follow(lineage=bytes(32))
    holder.heard.hear(SECOND)
    await asyncio.sleep(60.0)
    assert [end.frames_sent for end in ends] == [0, 1]
    assert other.told == []
    other.follow()
    other.news.unfollow(LINEAGE_KEY)
    await asyncio.sleep(NOTICED_S)
    assert other.told == []
    assert not ends[0].closed.done()


async def test_a_peer_behind_is_told_what_is_newer_and_an_older_record_changes_nothing() -> None:
    ahead, behind = Peer(1), Peer(2)
    ahead.follow(SECOND)
    behind.follow(FIRST)
    ends = linked(ahead, behind)
    await asyncio.sleep(NOTICED_S)
    assert behind.records() == [SECOND]
    assert ahead.told == []
    assert ahead.heard.newest(LINEAGE_KEY) == SECOND
    assert not ends[0].closed.done()


def forged(record: Record) -> bytes:
    return record.raw[:-1] + bytes((record.raw[-1] ^ 1,))


PROVIDED = make(PUBLISHER, PROVIDER, ProviderBody(bytes(32), complete=True), now=NOW_S, sequence=9)
BAD_NEWS = {
    "a wrong signature": encode_lineage_frame(NewsFrame(forged(SECOND))),
    "no record": encode_lineage_frame(NewsFrame(b"\0" * 100)),
    "a record of another kind": encode_lineage_frame(NewsFrame(PROVIDED.raw)),
    "a lineage that was not asked for": encode_lineage_frame(
        NewsFrame(signed(lineage=Identity(bytes(32))).raw)
    ),
    "another type": b"\x92\x21\xc0",
    "a part of a key": b"\x92\x20\xc4\x15" + bytes(21),
    "no key": b"\x92\x20\xc4\x00",
}


@pytest.mark.parametrize("data", BAD_NEWS.values(), ids=BAD_NEWS.keys())
async def test_who_tells_what_no_honest_peer_tells_loses_the_link(data: bytes) -> None:
    peer = Peer(1)
    peer.follow(FIRST)
    end, _ = hostile(peer)
    end.send(data)
    await asyncio.sleep(NOTICED_S)
    assert end.closed.done()
    assert peer.told == []
    assert peer.heard.newest(LINEAGE_KEY) == FIRST
    assert not peer.news._links


async def test_a_record_of_the_future_is_passed_over_as_clocks_may_be_wrong() -> None:
    peer = Peer(1)
    peer.follow(FIRST)
    end, _ = hostile(peer)
    end.send(encode_lineage_frame(NewsFrame(signed(FIRST, NOW_S + 3600).raw)))
    await asyncio.sleep(NOTICED_S)
    assert not end.closed.done()
    assert peer.told == []


async def test_a_flood_of_news_costs_no_verification_and_ends_the_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[Any] = []
    monkeypatch.setattr(records, "read", lambda raw, **_: read.append(raw))
    peer = Peer(1)
    peer.follow(SECOND)
    end, _ = hostile(peer)
    for number in range(2 * limits.FOLLOWS_PER_LINK):
        if end.closed.done():
            break
        end.send(encode_lineage_frame(NewsFrame((FIRST if number % 2 else SECOND).raw)))
        await asyncio.sleep(0)
    await asyncio.sleep(NOTICED_S)
    assert read == []
    assert end.closed.done()
    assert end.closed.result() == "rate_limited"


async def test_who_follows_more_than_a_link_may_carry_loses_it() -> None:
    peer = Peer(1)
    end, _ = hostile(peer)
    keys = [number.to_bytes(20) for number in range(limits.FOLLOWS_PER_LINK + 1)]
    for start in range(0, len(keys), limits.FOLLOWS_PER_FRAME):
        frame = FollowFrame(tuple(keys[start : start + limits.FOLLOWS_PER_FRAME]))
        end.send(encode_lineage_frame(frame))
    await asyncio.sleep(NOTICED_S)
    assert end.closed.done()
    again = hostile(peer)[0]
    for _ in range(int(limits.FOLLOW_FRAMES_BURST) + 2):
        again.send(encode_lineage_frame(FollowFrame((KEY,))))
    await asyncio.sleep(NOTICED_S)
    assert again.closed.done()


async def test_a_node_that_follows_more_tells_of_the_last_and_keeps_to_the_bounds() -> None:
    many = [Identity(number.to_bytes(32)).public_key for number in range(300)]
    peer, other = Peer(1), Peer(2)
    for lineage in many:
        peer.follow(lineage=lineage)
    end, heard = hostile(peer)
    linked(peer, other)
    await asyncio.sleep(NOTICED_S)
    frames = [decode_lineage_frame(data) for data in heard]
    told = [key for frame in frames if isinstance(frame, FollowFrame) for key in frame.keys]
    assert len(told) == limits.FOLLOWS_PER_LINK
    assert told[0] == lineage_key(many[-1])
    assert not end.closed.done()
    assert len(peer.news._links) == 2


async def test_a_publisher_in_a_hurry_costs_its_followers_no_link_and_they_get_the_last() -> None:
    publisher, follower = Peer(1), Peer(2)
    publisher.heard.keep(LINEAGE_KEY)
    follower.follow()
    ends = linked(publisher, follower)
    newest: Record | None = None
    for _ in range(2 * limits.FOLLOWS_PER_LINK):
        newest = signed(newest)
        publisher.heard.hear(newest)
        await asyncio.sleep(0.001)
    await asyncio.sleep(NOTICED_S)
    assert follower.heard.newest(LINEAGE_KEY) == newest
    assert not ends[0].closed.done()
    assert limits.FOLLOWS_PER_LINK < ends[0].frames_sent < 1.2 * limits.FOLLOWS_PER_LINK
