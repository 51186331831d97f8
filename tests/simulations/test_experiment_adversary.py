"""The adversary experiment: its abstract network, its attackers, and the report of a small run."""

import asyncio
import random
from dataclasses import replace
from itertools import combinations
from math import comb
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from node.overlay.table.tables import V4
from protocol import records
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method, decode_found
from protocol.records import ProviderBody
from simulations.attacks.attackers import ColludingNode, Collusion
from simulations.experiments import adversary
from simulations.experiments.adversary import Parameters
from simulations.experiments.parts.abstract_network import ID_BITS, StaticNetwork, endurance, endure
from simulations.residents.world import World, cipher_named, simulated_settings
from simulations.seeds import derive_rng

K = 4

# the abstract network


@pytest.fixture(scope="module")
def network() -> StaticNetwork:
    return StaticNetwork(200, K, random.Random(1))


def test_every_bucket_is_as_full_as_can_be(network: StaticNetwork) -> None:
    ids = [network.id_of(number) for number in range(len(network))]
    assert len(set(ids)) == 200
    for number, own in enumerate(ids):
        table = network.known_to(number)
        assert len(set(table)) == len(table)
        assert own not in table
        for bit in range(ID_BITS):
            covered = [one for one in ids if (one ^ own).bit_length() == bit + 1]
            known = [one for one in table if (one ^ own).bit_length() == bit + 1]
            assert set(known) <= set(covered)
            assert len(known) == min(K, len(covered))


def test_buckets_hold_random_members(network: StaticNetwork) -> None:
    """The far half is the same for a hundred nodes, and each knows four others of it."""
    ids = [network.id_of(number) for number in range(len(network))]
    half = 1 << (ID_BITS - 1)
    far = [one for one in ids if one >= half]
    times_known = dict.fromkeys(far, 0)
    near = [number for number, own in enumerate(ids) if own < half]
    for number in near:
        for one in network.known_to(number):
            if one >= half:
                times_known[one] += 1
    assert max(times_known.values()) < 5 * K * len(near) / len(far)
    assert sum(map(bool, times_known.values())) > 0.9 * len(far)


@pytest.mark.parametrize(("k", "d"), [(4, 1), (4, 2), (4, 4), (2, 2)])
def test_paths_are_disjoint_and_end_where_the_target_is_known(k: int, d: int) -> None:
    network, rng = StaticNetwork(200, k, random.Random(1)), random.Random(3)
    direct = indirect = 0
    for _ in range(300):
        initiator, target = rng.sample(range(len(network)), 2)
        source, wanted = network.id_of(initiator), network.id_of(target)
        paths = network.paths(initiator, target, d)
        assert len(paths) == d
        if wanted in network.nearest(source, wanted):
            assert paths == [[]] * d
            direct += 1
            continue
        indirect += 1
        asked = [one for path in paths if path is not None for one in path]
        assert len(set(asked)) == len(asked)
        assert not {source, wanted} & set(asked)
        dealt = network.nearest(source, wanted)
        for place, path in enumerate(paths):
            if path is not None:
                heard = dealt[place::d]
                for one in path:
                    assert one in heard
                    heard += network.nearest(one, wanted)
                assert [wanted in network.nearest(one, wanted) for one in path] == [
                    *[False] * (len(path) - 1),
                    True,
                ]
    assert direct > 5
    assert indirect > 100


@given(st.lists(st.lists(st.none(), max_size=3), min_size=1, max_size=3), st.randoms())
def test_a_lookup_outlasts_what_its_best_path_does(shape: list[list[None]], rng: Any) -> None:
    """Against an explicit draw of the same ranks."""
    numbers = iter(range(100))
    paths: list[list[int] | None] = [[next(numbers) for _ in path] for path in shape]
    others = 12
    seed = rng.randrange(2**32)
    outlasted = endurance(paths, others, random.Random(seed))
    ranks = iter(random.Random(seed).sample(range(others), sum(map(len, shape))))
    rank_of = {node: next(ranks) for path in paths if path for node in path}
    for adversaries in range(others + 1):
        survives = any(
            all(rank_of[node] >= adversaries for node in path) for path in paths if path is not None
        )
        assert survives == (outlasted >= adversaries)


def test_adversaries_are_drawn_without_replacement() -> None:
    """Paths of one and of two nodes, against the count of all choices of m among n."""
    paths: list[list[int] | None] = [[1], [2, 3], None]
    n, trials, rng = 8, 20_000, random.Random(4)
    outlasted = [endurance(paths, n, rng) for _ in range(trials)]
    for m in range(n + 1):
        good = sum(
            1 not in chosen or not {2, 3} & set(chosen) for chosen in combinations(range(n), m)
        )
        share = sum(one >= m for one in outlasted) / trials
        assert share == pytest.approx(good / comb(n, m), abs=0.015)


def test_a_lookup_that_asks_no_node_always_succeeds_and_one_without_paths_never() -> None:
    assert endurance([[], []], 9, random.Random(1)) == 9
    assert endurance([None, None], 9, random.Random(1)) == -1


KNOWN_POINTS = {
    1: {0.2: 0.71, 0.3: 0.54, 0.5: 0.34},
    2: {0.2: 0.91, 0.3: 0.77, 0.5: 0.52},
    4: {0.2: 0.985, 0.3: 0.95, 0.5: 0.75},
    8: {0.2: 1.0, 0.3: 1.0, 0.5: 0.90},
}


def test_the_points_of_figure_4_of_s_kademlia() -> None:
    network = StaticNetwork(10_000, 16, derive_rng(1, "abstract network"))
    for d, points in KNOWN_POINTS.items():
        curve = endure(network, d, 2000, derive_rng(1, "abstract lookups", d))
        for share, known in points.items():
            assert curve.success(share) == pytest.approx(known, abs=0.05), (d, share)
        assert curve.success(0.0) == 1.0


# attackers


async def _world(nodes: int) -> tuple[World, list[ColludingNode]]:
    world = World(1, settings=simulated_settings(cipher=cipher_named("test")))
    await world.populate(nodes, kind=ColludingNode)
    return world, [one for one in world.residents if isinstance(one, ColludingNode)]


async def test_a_colluding_node_is_honest_until_it_colludes_and_then_hides_all_others() -> None:
    world, residents = await _world(24)
    asker, liar, *others = residents
    wire = asker.running.server.wire
    mod_id = bytes(32)
    record = liar.running.republisher.make(records.PROVIDER, ProviderBody(mod_id, complete=True))
    store = liar.running.server.store
    with asker.host.running():
        await wire.ask(liar.contact, Method.STORE, [record.key, record.raw])
        assert store.get(record.key, records.PROVIDER, world.loop.wall_time()) == [record]
        find_value = [record.key, records.PROVIDER, 0, V4]
        honest = await wire.ask(liar.contact, Method.FIND_VALUE, find_value)
        assert decode_found(honest.result).values == [record.raw]

        collusion = Collusion()
        for one in (liar, *others[:3]):
            one.collude(collusion)
        found = decode_found(
            (await wire.ask(liar.contact, Method.FIND_NODE, [record.key, V4])).result
        )
        assert found.contacts == _by_distance([liar, *others[:3]], record.key)
        found = decode_found((await wire.ask(liar.contact, Method.FIND_VALUE, find_value)).result)
        assert found.values == []
        assert found.contacts == _by_distance([liar, *others[:3]], record.key)

        count = len(store)
        newer = liar.running.republisher.make(
            records.PROVIDER, ProviderBody(mod_id, complete=False)
        )
        confirmed = await wire.ask(liar.contact, Method.STORE, [newer.key, newer.raw])
        assert confirmed.code == Code.OK
        assert len(store) == count
        assert store.get(record.key, records.PROVIDER, world.loop.wall_time()) == [record]
        assert (await wire.ask(liar.contact, Method.PING, [])).code == Code.OK
        refused = await wire.ask(liar.contact, Method.FIND_NODE, [b"short", V4])
        assert refused.code == Code.MALFORMED
    await world.close()


def _by_distance(residents: list[ColludingNode], key: bytes) -> list[Contact]:
    number = int.from_bytes(key)
    return sorted((one.contact for one in residents), key=lambda one: one.number ^ number)


async def test_a_colluding_node_that_restarts_goes_on_lying() -> None:
    world, residents = await _world(12)
    asker, liar = residents[:2]
    liar.collude(Collusion())
    liar.crash()
    await liar.start()
    await asyncio.sleep(30)
    wire = asker.running.server.wire
    with asker.host.running():
        await wire.ask(liar.contact, Method.PING, [])  # the new node's token replaces the old
        answer = await wire.ask(liar.contact, Method.FIND_NODE, [bytes(20), V4])
    assert decode_found(answer.result).contacts == [liar.contact]
    await world.close()


def test_a_node_that_joins_a_collusion_is_named_from_then_on() -> None:
    contacts = [Contact(bytes([number]) * 38) for number in range(40)]
    contacts.sort(key=lambda contact: contact.number)
    collusion = Collusion()
    for contact in contacts[1:]:
        collusion.admit(contact)
    assert collusion.nearest(bytes(20)) == contacts[1:22]
    collusion.admit(contacts[0])
    assert collusion.nearest(bytes(20)) == contacts[:21]
    assert len(collusion) == 40


async def test_colluding_nodes_name_as_many_as_fit_and_never_the_asker() -> None:
    world, residents = await _world(30)
    collusion = Collusion()
    for one in residents:
        one.collude(collusion)
    asker, liar = residents[:2]
    target = asker.identity.peer_id
    with asker.host.running():
        answer = await asker.running.server.wire.ask(liar.contact, Method.FIND_NODE, [target, V4])
    named = decode_found(answer.result).contacts
    assert named == _by_distance(residents, target)[1:21]
    await world.close()


# the experiment

SMALL = Parameters(
    nodes=60,
    graph_nodes=300,
    adversaries=(0.9, 0.0),
    paths=(1, 8),
    lookups=30,
    graph_lookups=500,
    cipher="test",
)


def test_a_seed_has_one_history_and_another_seed_another() -> None:
    tiny = replace(SMALL, nodes=16, graph_nodes=100, lookups=5, graph_lookups=50)
    first, again = (adversary.run(tiny, lambda _: None) for _ in range(2))
    assert first.data == again.data
    assert first.log_hash == again.log_hash
    other = adversary.run(replace(tiny, seed=2), lambda _: None)
    assert other.log_hash != first.log_hash
    assert other.data != first.data


def test_a_small_run_keeps_the_contract() -> None:
    said: list[str] = []
    report = adversary.run(SMALL, said.append)
    points = {
        (one["kind"], one["d"], one["adversaries"]): one for one in report.as_json(SMALL)["points"]
    }
    assert set(points) == {
        (kind, d, share) for kind in ("graph", "real") for d in (1, 8) for share in (0.0, 0.9)
    }
    assert all(one["k"] == 16 and 0 <= one["success"] <= 1 for one in points.values())
    for d in (1, 8):
        assert points["graph", d, 0.0]["success"] == 1.0
        assert points["real", d, 0.0]["success"] == 1.0
        assert points["real", d, 0.0]["read"] == 1.0
        assert points["real", d, 0.9]["success"] < 1.0
    assert points["graph", 1, 0.9]["success"] < points["graph", 8, 0.9]["success"]
    # In so small a network most know most others, so only the effort tells the paths apart.
    assert points["real", 1, 0.9]["success"] <= points["real", 8, 0.9]["success"]
    assert points["real", 1, 0.9]["requests"] < points["real", 8, 0.9]["requests"]
    assert len(said) == 3
    _check_plot(report, lines=2 + 2)


def _check_plot(report: Any, lines: int) -> None:
    figure = Figure()
    report.draw(figure)
    lookups, reads = figure.axes
    assert len(lookups.lines) == len(reads.lines) == lines
    assert "%" in lookups.get_xlabel()
    assert "%" in reads.get_xlabel()
    assert "%" in lookups.get_ylabel()


def test_the_real_lookup_can_be_left_out() -> None:
    report = adversary.run(replace(SMALL, nodes=0), lambda _: None)
    assert {one["kind"] for one in report.data["points"]} == {"graph"}
    _check_plot(report, lines=2)
