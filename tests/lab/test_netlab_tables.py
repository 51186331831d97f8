"""What the lab of kernel NATs is made of, without building it."""

import ipaddress
import shutil
from collections import Counter
from concurrent.futures import Future
from typing import Any

import pytest

from protocol import limits
from protocol.ice.paths.selector import PathClass
from protocol.identity import Identity, solves_puzzle
from protocol.stun.message import StunClass, decode_stun
from scripts.lab import report
from scripts.lab.identities import NUMBERS, seed_of
from scripts.lab.kinds import KINDS, TWOSOMES, Filtering, Hairpin, Mapping, Nat
from scripts.lab.matrix import (
    MISSED_ONE_IN,
    NEAR,
    Outcome,
    Pair,
    call,
    faults_of,
    rounds,
    strange_remote,
)
from scripts.lab.net import rules
from scripts.lab.net.addresses import Prefixes
from scripts.lab.net.impostor import answer
from scripts.lab.net.spaces import why_not
from scripts.lab.net.topology import Host
from scripts.lab.probe import Behaviour, described, expected, mapping_of
from scripts.lab.ways import Way, means, predicted, predicted_near, way_of

SITES = 64
REQUEST = bytes.fromhex("000100002112a442") + b"transaction!"


def test_every_pair_of_kinds_has_one_way_in_both_directions() -> None:
    for caller in KINDS.values():
        for callee in KINDS.values():
            assert predicted(caller, callee) is predicted(callee, caller)


@pytest.mark.parametrize(
    ("caller", "callee", "way", "how"),
    [
        ("public", "symmetric", Way.DIRECT, "open"),
        ("port", "port", Way.DIRECT, "punch"),
        ("port", "cgnat", Way.DIRECT, "punch"),
        ("port", "sequential", Way.DIRECT, "prediction"),
        ("port", "symmetric", Way.DIRECT, "birthday"),
        ("upnp", "symmetric", Way.DIRECT, "open"),
        ("symmetric", "symmetric", Way.RELAYED, "relay"),
        ("ipv6", "ipv6", Way.DIRECT, "ipv6"),
        ("ipv6only", "port", Way.RELAYED, "family"),
        ("blocked", "public", Way.RELAYED, "blocked"),
    ],
)
def test_ways_of_known_pairs(caller: str, callee: str, way: Way, how: str) -> None:
    assert predicted(KINDS[caller], KINDS[callee]) is way
    assert means(KINDS[caller], KINDS[callee]) == how


def test_hosts_near_one_another_are_relayed_only_where_nothing_else_is_left() -> None:
    relayed = {two.name for two in TWOSOMES.values() if predicted_near(two) is Way.RELAYED}
    assert relayed == {"guests-apart", "carrier"}


def test_rounds_have_every_ordered_pair_once_and_no_host_twice() -> None:
    kinds, twosomes = list(KINDS.values()), list(TWOSOMES.values())
    found: Counter[tuple[str, str]] = Counter()
    for pairs in rounds(kinds, twosomes):
        hosts = [host for pair in pairs for host in (pair.caller, pair.callee)]
        assert len(hosts) == len(set(hosts))
        assert len({pair.paced for pair in pairs}) == 1
        found.update((pair.caller, pair.callee) for pair in pairs)
    assert set(found.values()) == {1}
    assert len(found) == len(kinds) ** 2 + len(twosomes)


def test_pairs_that_may_search_are_paced() -> None:
    paced = {
        (pair.caller, pair.callee)
        for pairs in rounds(list(KINDS.values()), [])
        for pair in pairs
        if pair.paced
    }
    assert {("port.a", "symmetric.b"), ("cone.a", "ipv6.b"), ("ipv6.a", "upnp.b")} <= paced
    assert ("public.a", "symmetric.b") not in paced
    assert ("symmetric.a", "ipv6.b") not in paced


def test_rounds_of_pairs_that_all_search_are_not_lost() -> None:
    kinds = [KINDS["port"], KINDS["symmetric"]]
    searching = [pair for pairs in rounds(kinds, []) for pair in pairs if pair.searches]
    assert [(pair.caller, pair.callee) for pair in searching] == [
        ("port.a", "symmetric.b"),
        ("symmetric.a", "port.b"),
    ]


def test_prefixes_are_public_and_in_networks_of_their_own() -> None:
    sites = [Prefixes(number) for number in range(SITES)]
    for site in sites:
        for text in (site.core_v4, site.site_v4, site.core_v6, site.site_v6, site.inner_v6(2)):
            assert ipaddress.ip_address(text).is_global, text
        inner, outer = ipaddress.IPv6Network(site.inner_v6_net), ipaddress.IPv6Network(site.v6_net)
        assert inner.subnet_of(outer)
        assert ipaddress.ip_address(site.inner_v6(2)) in inner
        assert ipaddress.ip_address(site.site_v6) in outer
        assert ipaddress.ip_address(site.site_v6) not in inner
    assert len({site.site_v4.rpartition(".")[0].rpartition(".")[0] for site in sites}) == SITES
    assert len({site.v6_net for site in sites}) == SITES


def test_identities_solve_the_puzzle_and_differ() -> None:
    assert len(set(NUMBERS)) == len(NUMBERS) >= 2 * len(KINDS) + 2 * len(TWOSOMES) + 6
    for number in range(len(NUMBERS)):
        assert solves_puzzle(Identity(seed_of(number)).public_key, limits.PUZZLE_BITS)


@pytest.mark.parametrize(
    ("ports", "mapping"),
    [
        ([4001, 4001, 4001, 4001], Mapping.ENDPOINT_INDEPENDENT),
        ([20000, 20001, 20002, 20004], Mapping.SEQUENTIAL),
        ([20000, 20001, 20001, 20002], Mapping.RANDOM),
        ([20000, 31337, 1025, 60000], Mapping.RANDOM),
        ([20003, 20002, 20001, 20000], Mapping.RANDOM),
    ],
)
def test_what_ports_seen_in_turn_tell(ports: list[int], mapping: Mapping) -> None:
    assert mapping_of(ports) is mapping


def test_two_routers_are_as_strict_as_the_stricter_one() -> None:
    cgnat = KINDS["cgnat"]
    assert len(cgnat.nats) == 2
    assert cgnat.filtering is Filtering.ADDRESS_AND_PORT
    assert expected(cgnat, 4) == Behaviour(
        Mapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_AND_PORT, True, "harmless"
    )
    assert expected(KINDS["trap"], 4).early_punch == "poisons"
    assert described(expected(KINDS["blocked"], 4)) == "nothing passes"


def every_nat() -> list[Nat]:
    return [nat for kind in KINDS.values() for nat in kind.nats] + [
        two.nat for two in TWOSOMES.values()
    ]


def test_rules_follow_the_kind() -> None:
    plain = rules.router(Nat(), "5.10.1.2")
    assert "masquerade\n" in plain
    assert "policy drop;\n  ct state established" in plain
    assert "fully-random" in rules.router(Nat(mapping=Mapping.RANDOM), "5.10.1.2")
    assert "numgen inc" in rules.router(Nat(mapping=Mapping.SEQUENTIAL), "5.10.1.2")
    assert "@known" in rules.router(Nat(filtering=Filtering.ADDRESS), "5.10.1.2")
    assert "udp drop" in rules.router(Nat(blocks_udp=True), "5.10.1.2")
    hairpin = Nat(filtering=Filtering.ENDPOINT_INDEPENDENT, hairpin=Hairpin.OUTER)
    assert "snat ip to 5.10.1.2" in rules.router(hairpin, "5.10.1.2")
    assert "masquerade" not in rules.router(Nat(), None, ipv6=True)


@pytest.mark.skipif(
    why_not() is not None or shutil.which("nft") is None, reason=f"no lab here: {why_not()}"
)
def test_nft_accepts_every_ruleset() -> None:
    from scripts.lab.net.spaces import command

    for nat in every_nat():
        command("nft", "--check", "-f", "-", given=rules.router(nat, "5.10.1.2"))


def test_an_impostor_answers_checks_with_a_success_without_integrity() -> None:
    told = decode_stun(answer(REQUEST, "192.168.1.2", 4001))
    assert told.kind is StunClass.SUCCESS
    assert told.transaction == b"transaction!"
    assert answer(b"other", "192.168.1.2", 4001) == b"other"


def outcome(
    caller: str,
    callee: str,
    expected: Way,
    way: Way,
    callee_way: Way | None = None,
    how: str = "punch",
) -> Outcome:
    return Outcome(Pair(caller, callee, expected, how), way, 12.3, callee_way=callee_way)


GOOD = outcome("port.a", "cone.b", Way.DIRECT, Way.DIRECT, Way.DIRECT)
OTHER_WAY = outcome("cone.a", "port.b", Way.DIRECT, Way.RELAYED, Way.RELAYED)
ONE_SIDED = outcome("cone.a", "cone.b", Way.DIRECT, Way.DIRECT)
BLOCKED = outcome("port.a", "port.b", Way.NONE, Way.NONE)


def test_a_pair_is_right_only_if_both_ends_see_the_expected_way() -> None:
    assert [one.right for one in (GOOD, OTHER_WAY, ONE_SIDED, BLOCKED)] == [
        True,
        False,
        False,
        True,
    ]


def searches(missed: int, count: int) -> list[Outcome]:
    ways = [Way.RELAYED if number < missed else Way.DIRECT for number in range(count)]
    return [outcome("port.a", "symmetric.b", Way.DIRECT, way, way, "birthday") for way in ways]


def test_few_searches_may_miss_and_nothing_else_may() -> None:
    few = searches(2, 2 * MISSED_ONE_IN)
    assert faults_of(few) == []
    near = outcome("lan.a", "lan.b", Way.DIRECT, Way.RELAYED, Way.RELAYED, "birthday")
    assert report.matrix_table([near]).splitlines()[0].split() == ["lan", "~R", "12"]
    many = searches(3, 2 * MISSED_ONE_IN)
    assert faults_of(many) == many[:3]
    lost = outcome("port.a", "symmetric.b", Way.DIRECT, Way.NONE, None, "birthday")
    assert faults_of([*few[2:], lost, OTHER_WAY]) == [lost, OTHER_WAY]
    one_sided = outcome("port.a", "symmetric.b", Way.DIRECT, Way.RELAYED, None, "birthday")
    assert faults_of([one_sided]) == [one_sided]


class Caller:
    """Tells the given ways of its one link in turn, the last for ever."""

    def __init__(self, *ways: Way) -> None:
        self._ways = list(ways)
        self.host = Host("port.a", None, "192.168.1.2", None, "5.10.1.2")  # type: ignore[arg-type]

    def connect(self, peer: object) -> "Future[dict[str, Any]]":
        done: Future[dict[str, Any]] = Future()
        done.set_result(self.link_to(peer))
        return done

    def link_to(self, peer: object) -> dict[str, Any]:
        way = self._ways.pop(0) if len(self._ways) > 1 else self._ways[0]
        return {"path": way.value, "remote_address": "5.10.1.2:4001"}


def test_a_relayed_link_that_becomes_direct_is_direct() -> None:
    pair = Pair("port.a", "port.b", Way.DIRECT, "birthday")
    caller: Any = Caller(Way.RELAYED, Way.RELAYED, Way.DIRECT)
    callee: Any = Caller(Way.RELAYED, Way.DIRECT)
    told = call(caller, callee, pair)
    assert told.right
    assert told.way is Way.DIRECT
    assert told.direct_ms is not None
    assert told.direct_ms >= told.took_ms
    assert report.matrix_table([told]).splitlines()[0].split()[1] == "U"


def test_the_table_and_the_list_of_faults() -> None:
    outcomes = [GOOD, OTHER_WAY, ONE_SIDED, BLOCKED]
    table = report.matrix_table(outcomes)
    assert "!R 12" in table
    assert table.splitlines()[0].split() == ["port", "cone"]
    assert report.faults(outcomes).splitlines() == [
        "cone.a -> port.b: relayed, expected direct (punch)",
        "cone.a -> cone.b: direct, expected direct (punch); the callee sees no link",
    ]


def test_the_table_shows_kinds_that_call_only_their_own() -> None:
    lone = outcome("lan.a", "lan.b", Way.DIRECT, Way.RELAYED, Way.RELAYED)
    assert report.matrix_table([lone]).splitlines()[0].split() == ["lan", "!R", "12"]


def test_a_direct_link_must_have_an_address_of_the_callee() -> None:
    here: Any = None
    callee = Host("port.b", here, "192.168.1.3", None, "5.10.1.2")
    apart, near = Pair("a", "b", Way.DIRECT, "punch"), Pair("a", "b", Way.DIRECT, NEAR)
    impostor = {"remote_address": "192.168.1.3:4001"}
    assert strange_remote(apart, callee, impostor) == "192.168.1.3"
    assert strange_remote(near, callee, impostor) is None
    assert strange_remote(apart, callee, {"remote_address": "5.10.1.2:999"}) is None


def test_the_summary_leaves_out_pairs_without_udp() -> None:
    told = report.summary([GOOD, OTHER_WAY, ONE_SIDED, BLOCKED])
    assert told["pairs"] == 4
    assert told["pairs_with_udp"] == told["linked"] == 3
    assert (told["direct"], told["relayed"], told["as_expected"]) == (2, 1, 2)
    assert told["kinds_pairs_with_udp"] == told["kinds_pairs_linked_in_any_direction"] == 2


def test_each_path_that_a_node_tells_of_has_a_way() -> None:
    assert [way_of(one.name.lower()) for one in PathClass] == [
        Way.DIRECT,
        Way.RELAYED,
        Way.RELAYED,
    ]
