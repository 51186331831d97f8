"""What a record of a lineage is to those who have seen others: newer, the same, older, or a fork.

A publisher signs one record after another: each has the sequence after, and the hash of, the one
before. Two records of one sequence, or one that follows another record than the one that was seen,
so show that the lineage was continued twice: two machines have its key, or one began again from an
old copy.

After a fork the record of the higher sequence is followed, and of two with the same one that with
the smaller hash. So all who see both follow the same, whichever came first, from any peer,
and stores that were given different ones come to hold the same. Hashes come out by chance: neither
machine's records are preferred for good. The machine whose record lost signs once more, after its
own (`renewed`), what the higher version says: so the other one, and all who follow, come to know of
the fork, and no version is hidden by a lower one.

Only what was seen can be judged. Records further back than the one before are older, and those
further ahead newer, whatever they follow. A machine that has the key finds out by the versions
themselves whether one further ahead goes on from its own, and if not signs what is newest after it.
"""

import contextlib
import hashlib
import math
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from protocol import limits
from protocol.codec import sized
from protocol.content.lineage.body import LineageBody
from protocol.errors import Malformed, WrongKey
from protocol.identity import Identity
from protocol.records import LINEAGE, Record, claim_of, lineage_key, make, read

HASH_BYTES: Final = 32
_PAIR_BYTES: Final = 16


class Age(Enum):
    """What a record is to what was seen. OLDER ones may be replayed ones."""

    NEWER = "newer"
    SAME = "same"
    OLDER = "older"


@dataclass(frozen=True, slots=True)
class Fork:
    """Two records of one sequence, by their SHA-256, the smaller hash first."""

    sequence: int
    hashes: tuple[bytes, bytes]

    @property
    def pair(self) -> bytes:
        """By what it is known again, 16 bytes."""
        return hashlib.sha256(b"".join(self.hashes)).digest()[:_PAIR_BYTES]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of a lineage: the record that is followed, and the forks that were told.

    `previous` is what that record says of the one before it; `told` are pairs of forks, 16 bytes
    each, one after another.
    """

    sequence: int
    digest: bytes
    previous: bytes = b""
    told: bytes = b""

    def __post_init__(self) -> None:
        """Raise Malformed for hashes of another length."""
        sized(self.digest, HASH_BYTES)
        if self.previous:
            sized(self.previous, HASH_BYTES)


@dataclass(frozen=True, slots=True)
class Judgement:
    """`seen` is what is to be remembered now; `fork` is one that has not been told before."""

    age: Age
    seen: Seen
    fork: Fork | None = field(default=None)


def hash_of(record: Record) -> bytes:
    """By what the record after it names a record: its SHA-256, 32 bytes."""
    return hashlib.sha256(record.raw).digest()


def recalled(raw: bytes) -> Record:
    """A record of a lineage that this node had verified when it kept it; raises Malformed."""
    _, public_key, _ = claim_of(raw)
    key = lineage_key(public_key)
    return read(raw, key=key, now=math.inf, puzzle_bits=0, may_be_expired=True)


def recalled_if_whole(raw: bytes | None) -> Record | None:
    """`recalled`, or None for what the disk has damaged or never had."""
    if raw is not None:
        with contextlib.suppress(Malformed):
            return recalled(raw)
    return None


def body_of(record: Record) -> LineageBody:
    """The body of a lineage record; raises WrongKey for a record of another kind."""
    if not isinstance(record.body, LineageBody):
        raise WrongKey("a record that is not of a lineage")
    return record.body


def supersedes(record: Record, sequence: int, digest: bytes) -> bool:
    """Whether a record is followed in the place of another one, of that sequence and hash."""
    if record.sequence != sequence:
        return record.sequence > sequence
    return hash_of(record) < digest


def judge(seen: Seen | None, record: Record) -> Judgement:
    """What a verified record of the lineage is to what was seen of it."""
    digest, previous = hash_of(record), body_of(record).previous
    if seen is None:
        return Judgement(Age.NEWER, Seen(record.sequence, digest, previous))
    if digest == seen.digest:
        return Judgement(Age.SAME, seen)
    fork = _untold(_fork(seen, record.sequence, digest, previous), seen.told)
    told = seen.told + (fork.pair if fork is not None else b"")
    if supersedes(record, seen.sequence, seen.digest):
        age, now = Age.NEWER, Seen(record.sequence, digest, previous, told)
    else:
        age, now = Age.OLDER, Seen(seen.sequence, seen.digest, seen.previous, told)
    return Judgement(age, now, fork)


def may_matter(seen: Seen | None, sequence: int, raw: bytes) -> bool:
    """Whether a record of this sequence would be newer than what was seen, or show a fork.

    So what is not worth it need not be verified.
    """
    if seen is None:
        return True
    if hashlib.sha256(raw).digest() in (seen.digest, seen.previous):
        return False
    return sequence >= seen.sequence - 1


def _fork(seen: Seen, sequence: int, digest: bytes, previous: bytes) -> Fork | None:
    """The fork that a record shows, if it does."""
    if sequence == seen.sequence:
        return _between(sequence, seen.digest, digest)
    if sequence == seen.sequence + 1 and previous != seen.digest:
        return _between(seen.sequence, seen.digest, previous)
    if sequence == seen.sequence - 1 and seen.previous != digest:
        return _between(sequence, seen.previous, digest)
    return None


def _between(sequence: int, one: bytes, other: bytes) -> Fork:
    return Fork(sequence, (min(one, other), max(one, other)))


def _untold(fork: Fork | None, told: bytes) -> Fork | None:
    """A fork once; of a lineage that forks again and again the first LINEAGE_FORKS_TOLD."""
    if fork is None or len(told) >= _PAIR_BYTES * limits.LINEAGE_FORKS_TOLD:
        return None
    pairs = [told[at : at + _PAIR_BYTES] for at in range(0, len(told), _PAIR_BYTES)]
    return None if fork.pair in pairs else fork


def next_record(
    identity: Identity,
    newest: Record | None,
    *,
    mod_id: bytes,
    version: int,
    wrapped_key: bytes,
    origins: tuple[str, ...] = (),
    now: float,
) -> Record:
    """Sign what follows the newest record that is known of a lineage, by its identity.

    Raises Malformed, Oversized.
    """
    sequence = 1 if newest is None else newest.sequence + 1
    previous = b"" if newest is None else hash_of(newest)
    body = LineageBody(mod_id, version, wrapped_key, previous, origins)
    return make(identity, LINEAGE, body, now=now, sequence=sequence)


def renewed(
    identity: Identity,
    said: Record,
    *,
    now: float,
    after: Record | None = None,
    beyond: Record | None = None,
) -> Record:
    """Sign what a record says once more, before it expires.

    `after` is another one, which is not followed, and `beyond` the newest one if that is neither: a
    reader who has seen the newest one sees by the hash of another one that there were two.
    """
    before = after or said
    previous, sequence = hash_of(before), (beyond or before).sequence + 1
    body = replace(body_of(said), previous=previous)
    return make(identity, LINEAGE, body, now=now, sequence=sequence)


def check_named(record: Record, lineage: bytes, version: int) -> None:
    """Raise WrongKey unless a mod that a record names is of its lineage, and that version.

    `lineage` and `version` are what the mod's own manifest says.
    """
    if lineage != record.public_key:
        raise WrongKey("a lineage record that names a mod of another lineage")
    if version != body_of(record).version:
        raise WrongKey(f"a lineage record that calls version {version} another one")
