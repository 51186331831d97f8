"""The routing table of Kademlia, which gives the exact nearest contacts of any target.

One bucket per length of the prefix shared with our id, as in Kademlia's section 2.2 without its
splitting. Deviations from the paper: nodes enter only once they have answered a request (verified),
leave after FAILURES_MAX failures in a row, and are limited per network, so that one network cannot
fill a table.
"""

from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from protocol import limits
from protocol.overlay.contacts import Contact
from protocol.overlay.networks import NetworksOf, public_networks
from protocol.randomness import Random

ID_BITS = 8 * limits.ID_BYTES
NO_PEER = -1
"""Stands for no peer where a peer's number is expected."""


class Entry(NamedTuple):
    """A contact that answered us, as it stands now. Times are monotonic seconds.

    `last_seen` is when it last answered or sent a request, `answered_at` when it last answered: a
    contact that sends requests is alive, but its answers may be late or missing.
    """

    contact: Contact
    last_seen: float
    answered_at: float
    failures: int


@dataclass(slots=True)
class Bucket:
    """At most k live contacts, and the replacement cache (Kademlia, 4.1), the latest last.

    Both by their numbers, so that the nearest are found without touching any other contact.
    """

    live: dict[int, Contact] = field(default_factory=dict)
    waiting: dict[int, Contact] = field(default_factory=dict)
    last_lookup: float = 0.0


class RoutingTable:
    """Contacts of one address family around `own_id` (20 bytes)."""

    def __init__(
        self,
        own_id: bytes,
        *,
        k: int = limits.K,
        networks_of: NetworksOf = public_networks,
    ) -> None:
        self.own_number = int.from_bytes(own_id)
        self.k = k
        self._networks_of = networks_of
        self._buckets: dict[int, Bucket] = {}
        self._indices: list[int] = []
        self._seen: dict[int, float] = {}
        self._answered: dict[int, float] = {}
        self._failures: dict[int, int] = {}
        self._networks: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def __iter__(self) -> Iterator[Entry]:
        for index in self._indices:
            yield from map(self._entry, self._buckets[index].live.values())

    def longest_known(self) -> list[Entry]:
        """The entries that stand in the table for longest in each bucket, then the second ones...

        Those whose last request failed come last. Nothing that contacts send changes the order.
        """
        buckets = [self._buckets[index].live.values() for index in self._indices]
        turns = (one for turn in zip_longest(*buckets) for one in turn if one is not None)
        return sorted(map(self._entry, turns), key=lambda entry: entry.failures > 0)

    @property
    def buckets(self) -> Mapping[int, Bucket]:
        """The buckets by number, to look at."""
        return self._buckets

    def get(self, peer_id: bytes) -> Entry | None:
        """The live entry of this peer."""
        contact = self._live(int.from_bytes(peer_id))
        return self._entry(contact) if contact else None

    def _live(self, number: int) -> Contact | None:
        bucket = self._buckets.get(self.index_of(number))
        return bucket.live.get(number) if bucket else None

    def _entry(self, contact: Contact) -> Entry:
        number = contact.number
        failures = self._failures.get(number, 0)
        return Entry(contact, self._seen[number], self._answered[number], failures)

    def index_of(self, number: int) -> int:
        """How many leading bits an id shares with ours: 0..159, and 160 for our own."""
        return ID_BITS - (self.own_number ^ number).bit_length()

    def room(self, index: int) -> int:
        """How many more contacts the bucket of this number can take."""
        bucket = self._buckets.get(index)
        return self.k - len(bucket.live) if bucket else self.k

    def nearest(self, target: int, count: int, *, but: int = NO_PEER) -> list[Contact]:
        """The `count` contacts nearest to `target` by XOR, exactly, nearest first.

        All are peer ids as numbers; `but` is left out.
        """
        return self._nearest(target, count, {but})

    def nearest_sound(self, target: int, count: int, *, but: int = NO_PEER) -> list[Contact]:
        """The same of those whose last request was answered: what others may be told."""
        return self._nearest(target, count, {but, *self._failures})

    def _nearest(self, target: int, count: int, but: set[int]) -> list[Contact]:
        found: list[Contact] = []
        buckets, distance = self._buckets, target.__xor__
        for index in self._by_distance(target):
            live = buckets[index].live
            members = sorted(live, key=distance)
            if not but.isdisjoint(live):
                members = [number for number in members if number not in but]
            found += [live[number] for number in members[: count - len(found)]]
            if len(found) == count:
                break
        return found

    def _by_distance(self, target: int) -> Iterator[int]:
        """Bucket numbers, all members of one nearer than all of the next.

        A target that shares `index` bits with us shares more with its own bucket. The deeper ones
        come next: those that differ from us in a bit in which the target does too are nearer than
        all that are deeper still, the others farther. The shallower ones share ever fewer.
        """
        difference = self.own_number ^ target
        own = ID_BITS - difference.bit_length()
        farther: list[int] = []
        for index in self._indices:
            if index < own:
                farther.append(index)
            elif index == own or difference >> (ID_BITS - 1 - index) & 1:
                yield index
            else:
                farther.append(index)
        yield from reversed(farther)

    def wants(self, contact: Contact, *, proved: bool = False) -> bool:
        """Whether a ping to verify this contact is worthwhile: its bucket has room.

        A known peer is believed to have moved if it proved its new address, or fails at the old.
        """
        index = self.index_of(contact.number)
        if index == ID_BITS:
            return False
        bucket = self._buckets.get(index)
        if bucket is None:
            return True
        known = bucket.live.get(contact.number)
        if known is not None:
            return known != contact and (proved or known.number in self._failures)
        return len(bucket.live) < self.k

    def asked_by(self, contact: Contact, now: float, *, proved: bool) -> bool:
        """Note a request of `contact`, perhaps with proof of its address; returns as `wants`.

        Its failures stay counted: only an answer shows that a contact answers.
        """
        if proved and self._live(contact.number) == contact:
            self._seen[contact.number] = now
            return False
        return self.wants(contact, proved=proved)

    def answered(self, contact: Contact, now: float) -> Contact | None:
        """Note that `contact` answered a request of ours.

        Returns the contact whose place it would take, for a ping, when its bucket is full.
        """
        index = self.index_of(contact.number)
        if index == ID_BITS:
            return None
        bucket = self._bucket(index)
        known = bucket.live.get(contact.number)
        if known is not None:
            if known == contact:
                self._seen[contact.number] = self._answered[contact.number] = now
                self._failures.pop(contact.number, None)
                return None
            self._leave(bucket, known)
        bucket.waiting.pop(contact.number, None)
        if not self._allowed(bucket, contact):
            return None
        if len(bucket.live) < self.k:
            self._enter(bucket, contact, now)
            return None
        self._wait(bucket, contact)
        oldest = min(bucket.live, key=self._seen.__getitem__)
        return bucket.live[oldest] if now - self._seen[oldest] > limits.FRESH_S else None

    def _wait(self, bucket: Bucket, contact: Contact) -> None:
        """Let a contact wait for a place; no network has more that wait than may enter."""
        bucket.waiting[contact.number] = contact
        for network in self._networks_of(contact):
            waiting = [one for one in bucket.waiting.values() if network in self._networks_of(one)]
            if len(waiting) > limits.NETWORK_IN_BUCKET[len(network)]:
                del bucket.waiting[waiting[0].number]
                return
        if len(bucket.waiting) > self.k:
            del bucket.waiting[next(iter(bucket.waiting))]

    def failed(self, contact: Contact) -> Contact | None:
        """Note that `contact` did not answer; only its own (id, address) can lose its place.

        Returns a waiting contact to verify while its bucket has a free place.
        """
        bucket = self._buckets.get(self.index_of(contact.number))
        if bucket is None:
            return None
        number = contact.number
        if bucket.waiting.get(number) == contact:
            del bucket.waiting[number]
        if bucket.live.get(number) == contact:
            self._failures[number] = self._failures.get(number, 0) + 1
            if self._failures[number] >= limits.FAILURES_MAX:
                self._leave(bucket, contact)
        return self._candidate(bucket)

    def forget(self, contact: Contact) -> Contact | None:
        """A contact says itself that it leaves or is not reached; returns as `failed`.

        It goes from among those that wait for a place as well, at this address alone.
        """
        bucket = self._buckets.get(self.index_of(contact.number))
        if bucket is None:
            return None
        if bucket.waiting.get(contact.number) == contact:
            del bucket.waiting[contact.number]
        if bucket.live.get(contact.number) != contact:
            return None
        self._leave(bucket, contact)
        return self._candidate(bucket)

    def _candidate(self, bucket: Bucket) -> Contact | None:
        if len(bucket.live) >= self.k or not bucket.waiting:
            return None
        return next(reversed(bucket.waiting.values()))

    def _bucket(self, index: int) -> Bucket:
        bucket = self._buckets.get(index)
        if bucket is None:
            bucket = self._buckets[index] = Bucket()
            insort(self._indices, index)
        return bucket

    def _enter(self, bucket: Bucket, contact: Contact, now: float) -> None:
        bucket.live[contact.number] = contact
        self._seen[contact.number] = self._answered[contact.number] = now
        for network in self._networks_of(contact):
            self._networks[network] = self._networks.get(network, 0) + 1

    def _allowed(self, bucket: Bucket, contact: Contact) -> bool:
        for network in self._networks_of(contact):
            in_table = self._networks.get(network, 0)
            if in_table >= limits.NETWORK_IN_TABLE[len(network)]:
                return False
            if in_table and self._held(bucket, network) >= limits.NETWORK_IN_BUCKET[len(network)]:
                return False
        return True

    def _held(self, bucket: Bucket, network: bytes) -> int:
        """How many contacts of a network are in a bucket."""
        held = bucket.live.values()
        return sum(network in self._networks_of(contact) for contact in held)

    def _leave(self, bucket: Bucket, contact: Contact) -> None:
        number = contact.number
        del bucket.live[number], self._seen[number], self._answered[number]
        self._failures.pop(number, None)
        for network in self._networks_of(contact):
            self._networks[network] -= 1
            if not self._networks[network]:
                del self._networks[network]

    def silent_since(self, before: float) -> list[Contact]:
        """The contacts that have answered nothing since `before`."""
        silent = [number for number, at in self._answered.items() if at < before]
        return [contact for number in silent if (contact := self._live(number)) is not None]

    def oldest_answer(self, now: float) -> float:
        """The least recent time at which any contact last answered; `now` if there is none."""
        return min(self._answered.values(), default=now)

    def looked_up(self, target: int, now: float) -> None:
        """Note a lookup in the bucket of `target`, which needs no refresh for a while."""
        bucket = self._buckets.get(self.index_of(target))
        if bucket is not None:
            bucket.last_lookup = now

    def stale(self, now: float, age_s: float) -> list[int]:
        """Buckets without a lookup for `age_s`, down to the deepest that holds a contact."""
        deepest = max((index for index, one in self._buckets.items() if one.live), default=-1)
        return [
            index
            for index in range(deepest + 1)
            if index not in self._buckets or now - self._buckets[index].last_lookup >= age_s
        ]

    def id_in_bucket(self, index: int, rng: Random) -> bytes:
        """A random id that shares exactly `index` leading bits with ours."""
        low_bits = ID_BITS - index - 1
        flipped = (self.own_number >> low_bits) ^ 1
        return ((flipped << low_bits) | rng.getrandbits(low_bits)).to_bytes(limits.ID_BYTES)
