"""What a record is to those who have seen others: newer, the same, older, or a fork."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.content.lineage import history
from protocol.content.lineage.history import Age, Fork, Judgement, Seen, judge
from protocol.errors import Malformed, WrongKey
from protocol.records import PROVIDER, ProviderBody, Record, make
from tests.protocol.content.lineage.signed import NOW_S, PUBLISHER, signed


def judged(*records: Record) -> list[Judgement]:
    seen: Seen | None = None
    judgements = []
    for record in records:
        judgements.append(judge(seen, record))
        seen = judgements[-1].seen
    return judgements


def heard(*records: Record) -> Seen:
    return judged(*records)[-1].seen


FIRST = signed()
SECOND = signed(FIRST)
THIRD = signed(SECOND)


def test_each_record_follows_the_one_before() -> None:
    assert [one.sequence for one in (FIRST, SECOND, THIRD)] == [1, 2, 3]
    assert history.body_of(FIRST).previous == b""
    assert history.body_of(THIRD).previous == history.hash_of(SECOND)
    ages = [one.age for one in judged(FIRST, SECOND, THIRD)]
    assert ages == [Age.NEWER] * 3
    assert heard(FIRST, SECOND, THIRD) == Seen(
        3, history.hash_of(THIRD), history.hash_of(SECOND), b""
    )


@pytest.mark.parametrize("replayed", [FIRST, SECOND])
def test_an_older_record_is_older_however_often_it_comes(replayed: Record) -> None:
    seen = heard(FIRST, SECOND, THIRD)
    for _ in range(2):
        assert judge(seen, replayed) == Judgement(Age.OLDER, seen)


def test_the_same_is_the_same_and_records_may_be_missed() -> None:
    assert judged(FIRST, FIRST)[-1] == Judgement(Age.SAME, heard(FIRST))
    assert judged(FIRST, THIRD)[-1].age is Age.NEWER
    assert judged(FIRST, THIRD)[-1].fork is None


def test_a_renewal_says_the_same_in_a_record_of_its_own() -> None:
    renewed = history.renewed(PUBLISHER, SECOND, now=NOW_S + 5)
    assert (renewed.sequence, renewed.issued) == (3, int(NOW_S) + 5)
    body = history.body_of(renewed)
    assert body.previous == history.hash_of(SECOND)
    assert (body.version, body.mod_id) == (2, history.body_of(SECOND).mod_id)
    assert judge(heard(SECOND), renewed).fork is None


def forked() -> tuple[Record, Record, Record, Record]:
    """Two machines go on after one record, and each goes on from its own."""
    one, other = signed(FIRST, number=1), signed(FIRST, number=2)
    return one, other, signed(one, number=1), signed(other, number=2)


def test_two_records_of_one_sequence_are_a_fork_that_is_told_once_with_both_hashes() -> None:
    one, other, _, _ = forked()
    hashes = sorted((history.hash_of(one), history.hash_of(other)))
    first, *later = judged(FIRST, one, other, one, other, one)[2:]
    assert first.fork == Fork(2, (hashes[0], hashes[1]))
    assert [each.fork for each in later] == [None] * 3
    assert later[-1].seen.digest == hashes[0], "the smaller hash is followed"


def test_who_hears_only_what_follows_the_other_machine_sees_the_fork_too() -> None:
    one, other, _, after_other = forked()
    hashes = sorted((history.hash_of(one), history.hash_of(other)))
    told = judged(FIRST, one, after_other)[-1]
    assert told.fork == Fork(2, (hashes[0], hashes[1]))
    assert told.age is Age.NEWER
    late = judged(after_other, one)[-1]
    assert late.fork == told.fork
    assert late.age is Age.OLDER


def test_all_who_have_seen_the_same_records_follow_the_same_in_whichever_order_they_came() -> None:
    records = forked()
    ends = {heard(FIRST, *order).digest for order in permutations(records)}
    last = min(records[2:], key=history.hash_of)
    assert ends == {history.hash_of(last)}


def test_after_a_fork_the_next_record_of_either_machine_ends_it() -> None:
    records = forked()
    winner, loser = sorted(records[2:], key=history.hash_of)
    healed = signed(winner)
    assert judge(heard(FIRST, *records), healed).fork is None
    told = judge(heard(loser), healed)
    assert told.fork is not None
    assert told.age is Age.NEWER


def test_a_machine_that_is_far_behind_shows_a_fork_to_all_who_have_seen_the_newest() -> None:
    own, newest = signed(FIRST, number=1), signed(THIRD)
    assert judge(heard(own), newest).fork is None, "it does not show by itself"
    for said, is_own in ((newest, False), (own, True)):
        told = history.renewed(PUBLISHER, said, now=NOW_S, after=own, beyond=newest)
        assert told.sequence == newest.sequence + 1
        assert history.body_of(told).mod_id == history.body_of(own if is_own else newest).mod_id
        judgement = judge(heard(newest), told)
        hashes = sorted((history.hash_of(newest), history.hash_of(own)))
        assert judgement.fork == Fork(newest.sequence, (hashes[0], hashes[1]))
        assert judgement.age is Age.NEWER


def test_a_lineage_that_forks_again_and_again_is_told_of_so_often_and_costs_so_much() -> None:
    seen, told, newest = heard(FIRST), 0, FIRST
    for _ in range(3 * limits.LINEAGE_FORKS_TOLD):
        one, other = signed(newest, number=1), signed(newest, number=2)
        for record in (one, other):
            judgement = judge(seen, record)
            told += judgement.fork is not None
            seen = judgement.seen
        newest = min(one, other, key=history.hash_of)
    assert told == limits.LINEAGE_FORKS_TOLD
    assert len(seen.told) == 16 * limits.LINEAGE_FORKS_TOLD


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.lists(st.sampled_from((FIRST, SECOND, THIRD, *forked())), min_size=1, max_size=30))
def test_what_is_followed_is_never_given_up_for_what_is_older(records: list[Record]) -> None:
    seen: Seen | None = None
    for record in records:
        judgement = judge(seen, record)
        if seen is not None:
            before, now = (seen.sequence, seen.digest), judgement.seen
            assert (now.sequence, now.digest) == before or (
                history.supersedes(record, *before) and judgement.age is Age.NEWER
            )
        seen = judgement.seen


def test_a_mod_is_of_the_lineage_that_its_own_manifest_names() -> None:
    history.check_named(SECOND, PUBLISHER.public_key, 2)
    for lineage, version in ((bytes(32), 2), (PUBLISHER.public_key, 1)):
        with pytest.raises(WrongKey):
            history.check_named(SECOND, lineage, version)


def test_only_lineage_records_are_judged() -> None:
    provider = make(PUBLISHER, PROVIDER, ProviderBody(bytes(32), complete=True), now=1, sequence=1)
    with pytest.raises(WrongKey):
        judge(None, provider)
    for digest, previous in ((bytes(31), b""), (bytes(32), bytes(31))):
        with pytest.raises(Malformed):
            Seen(1, digest, previous)
