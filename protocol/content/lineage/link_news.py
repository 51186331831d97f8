"""What both sides of one link have told each other about lineages, and what each may still tell.

Keys are DHT keys. `now` is monotonic seconds. A peer that tells more than it may, or tells of what
it was not asked for, breaks a rule, and its link ends with that.
"""

from collections.abc import Iterable

from protocol import limits
from protocol.content.lineage.history import hash_of
from protocol.errors import OverLimit, RateLimited, Unexpected
from protocol.rate_limit import RateLimit
from protocol.records import Record


class LinkNews:
    """The state of one link, as one side sees it."""

    def __init__(self) -> None:
        self._asked: dict[bytes, None] = {}
        """What this side has said that it follows."""
        self._wanted: dict[bytes, bytes] = {}
        """What the peer follows, with the hash of the last record that it is known to have."""
        self._waiting: dict[bytes, Record] = {}
        self._follows = RateLimit(limits.FOLLOW_FRAMES_PER_SECOND, limits.FOLLOW_FRAMES_BURST)
        self._heard = RateLimit(limits.NEWS_PER_SECOND, limits.FOLLOWS_PER_LINK)
        self._told = RateLimit(limits.NEWS_PER_SECOND / 2, limits.FOLLOWS_PER_LINK)

    # This side follows --------------------------------------------------------------------

    def ask(self, keys: Iterable[bytes]) -> list[bytes]:
        """Which of these the peer is still to be told of, as far as the link's bound allows.

        They count as told from now on.
        """
        new = [key for key in keys if key not in self._asked]
        new = new[: limits.FOLLOWS_PER_LINK - len(self._asked)]
        self._asked.update(dict.fromkeys(new))
        return new

    def check_news(self, key: bytes, now: float) -> None:
        """A record has come; raises RateLimited, and Unexpected for one that was not asked for."""
        if not self._heard.take(now):
            raise RateLimited("more news of lineages than a link may bring")
        if key not in self._asked:
            raise Unexpected("news of a lineage that was not asked for")

    def known_to_peer(self, key: bytes, digest: bytes) -> None:
        """The peer has sent this record, so it need not be told of it."""
        if key in self._wanted:
            self._wanted[key] = digest

    def peer_has_named(self, key: bytes) -> bool:
        """Whether the peer follows this."""
        return key in self._wanted

    # The peer follows ---------------------------------------------------------------------

    def peer_follows(self, keys: Iterable[bytes], now: float) -> list[bytes]:
        """The peer follows these; returns those that are new. Raises RateLimited, OverLimit."""
        if not self._follows.take(now):
            raise RateLimited("more frames of what is followed than a link may bring")
        new = [key for key in dict.fromkeys(keys) if key not in self._wanted]
        if len(self._wanted) + len(new) > limits.FOLLOWS_PER_LINK:
            raise OverLimit("more lineages than a peer may follow by one link")
        self._wanted.update(dict.fromkeys(new, b""))
        return new

    def tell(self, record: Record) -> None:
        """Let the peer have a record, if it follows the lineage and does not have it.

        Of several of one lineage that wait only the last is sent.
        """
        if self._wanted.get(record.key) not in (None, hash_of(record)):
            self._waiting[record.key] = record

    def take_due(self, now: float) -> list[Record]:
        """The records to be sent now; they count as known to the peer."""
        due: list[Record] = []
        while self._waiting and self._told.take(now):
            key = next(iter(self._waiting))
            record = self._waiting.pop(key)
            self._wanted[key] = hash_of(record)
            due.append(record)
        return due

    def next_due_s(self, now: float) -> float | None:
        """In how many seconds something is to be sent that waits; None if nothing does."""
        return self._told.wait_s(now) if self._waiting else None
