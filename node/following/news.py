"""News of versions over links: each side names what it follows, and tells the other what is newer.

A follower so hears of a version at once while a link to any node is open that has heard of it. What
comes is verified like a record of the DHT, where it can be newer than what was seen, and judged by
the same memory (`HeardLineages`), which tells all who watch it; so it goes on from link to link.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from node.content.ports import LinkPort
from node.overlay.lineages.heard import HeardLineages, LineageNews
from protocol import records
from protocol.content.lineage import history
from protocol.content.lineage.frames import (
    FollowFrame,
    NewsFrame,
    decode_lineage_frame,
    encode_lineage_frame,
    follow_frames,
)
from protocol.content.lineage.link_news import LinkNews
from protocol.errors import IssuedInFuture, LinkClosed
from protocol.frame_types import LINEAGE_TYPES
from protocol.records import LINEAGE, Record, lineage_key


class _NewsLink:
    """The news of one link."""

    def __init__(
        self,
        link: LinkPort,
        take_follows: Callable[["_NewsLink", Sequence[bytes]], None],
        take_record: Callable[["_NewsLink", bytes], None],
    ) -> None:
        self._link = link
        self._take_follows = take_follows
        self._take_record = take_record
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.state = LinkNews()

    def receive(self, data: bytes) -> None:
        """Take a frame; raises RemoteError, which ends the link."""
        frame = decode_lineage_frame(data)
        if isinstance(frame, FollowFrame):
            new = self.state.peer_follows(frame.keys, self._loop.time())
            self._take_follows(self, new)
        else:
            self._take_record(self, frame.record)

    def ask(self, keys: Sequence[bytes]) -> None:
        """Tell the peer that these are followed, if it does not know."""
        for frame in follow_frames(self.state.ask(keys)):
            self._send(frame)

    def tell(self, record: Record) -> None:
        """Send a record to a peer that follows its lineage and does not have it."""
        self.state.tell(record)
        self._send_due()

    def _send_due(self) -> None:
        now = self._loop.time()
        for record in self.state.take_due(now):
            self._send(NewsFrame(record.raw))
        wait_s = self.state.next_due_s(now)
        if wait_s is not None and self._timer is None:
            self._timer = self._loop.call_later(wait_s, self._send_later)

    def _send_later(self) -> None:
        self._timer = None
        self._send_due()

    def _send(self, frame: FollowFrame | NewsFrame) -> None:
        with contextlib.suppress(LinkClosed):
            self._link.send(encode_lineage_frame(frame))

    def close(self) -> None:
        """The link has ended."""
        if self._timer is not None:
            self._timer.cancel()


class News:
    """`attach` it to each link. `wall` is the corrected clock's seconds.

    `serves`: whether this node serves a mod, by its mod id, as its provider record tells all.
    """

    def __init__(
        self,
        heard: HeardLineages,
        serves: Callable[[bytes], bool],
        wall: Callable[[], float],
        *,
        puzzle_bits: int,
    ) -> None:
        self._heard = heard
        self._serves = serves
        self._wall = wall
        self._puzzle_bits = puzzle_bits
        self._followed: dict[bytes, bytes] = {}
        """The public keys of lineages by their DHT keys, the last one followed last."""
        self._links: dict[LinkPort, _NewsLink] = {}
        self._now = asyncio.get_running_loop().time
        heard.watch(self._tell_links)

    def attach(self, link: LinkPort) -> None:
        """Exchange news by a link from now on, until it ends."""
        news = _NewsLink(link, self._peer_follows, self._record_came)
        link.register(LINEAGE_TYPES, news.receive)
        self._links[link] = news
        link.closed.add_done_callback(partial(self._ended, link))
        self._ask(news)

    def _ended(self, link: LinkPort, _closed: "asyncio.Future[str]") -> None:
        self._links.pop(link).close()

    # What this node follows ---------------------------------------------------------------

    def follow(self, lineage: bytes) -> None:
        """Ask all links, those to come too, for news of a lineage, by its public key."""
        key = lineage_key(lineage)
        self._followed.pop(key, None)
        self._followed[key] = lineage
        for news in self._links.values():
            self._ask(news)

    def unfollow(self, lineage: bytes) -> None:
        """Ask links to come no more; what this one's peers still tell is heard and not told."""
        self._followed.pop(lineage_key(lineage), None)

    def has_fellows(self, lineage: bytes) -> bool:
        """Whether a linked peer follows a lineage as well, by its public key."""
        key = lineage_key(lineage)
        return any(news.state.peer_has_named(key) for news in self._links.values())

    def _ask(self, news: _NewsLink) -> None:
        news.ask(list(reversed(self._followed)))

    def _record_came(self, news: _NewsLink, raw: bytes) -> None:
        """Take what a peer told; raises RemoteError for what no honest peer tells."""
        kind, public_key, sequence = records.claim_of(raw)
        key = lineage_key(public_key)
        news.state.check_news(key, self._now())
        seen = self._heard.seen(public_key)
        is_known = self._heard.newest(public_key) is not None
        if kind == LINEAGE and is_known and not history.may_matter(seen, sequence, raw):
            return
        try:
            record = records.read(
                raw, key=key, now=self._wall(), puzzle_bits=self._puzzle_bits, may_be_expired=True
            )
        except IssuedInFuture:
            return  # its clock, or ours, is wrong: no fault of the peer's
        news.state.known_to_peer(key, history.hash_of(record))
        if key in self._followed:
            self._heard.hear(record)

    # What peers follow --------------------------------------------------------------------

    def _peer_follows(self, news: _NewsLink, keys: Sequence[bytes]) -> None:
        """Tell a peer the newest versions that are known of the lineages that it follows.

        Those alone that this node keeps or serves: a peer that is told of others would learn what
        was only looked at here.
        """
        for key in keys:
            newest = self._heard.newest_under(key)
            if newest is None:
                continue
            if self._heard.is_kept(key) or self._serves(history.body_of(newest).mod_id):
                news.tell(newest)

    def _tell_links(self, heard: LineageNews) -> None:
        newest = self._heard.newest(heard.lineage)
        if newest is not None:
            for news in list(self._links.values()):
                news.tell(newest)
