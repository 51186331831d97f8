"""Churn: the distributions of sessions and absences, and residents that live by them."""

import asyncio
import math
import random
from statistics import fmean

import pytest

from simulations.residents.churn import CHURN_MODELS, Churn, ChurningResident, ChurnModel, Weibull
from simulations.residents.world import JOIN_SPACING_S, World, cipher_named, simulated_settings
from simulations.runtime.running import run_virtually

DRAWS = 40_000


@pytest.mark.parametrize(("shape", "scale_s"), [(0.61, 13_176.0), (0.476, 24_822.0), (2.0, 10.0)])
def test_periods_have_the_distribution_of_weibull(shape: float, scale_s: float) -> None:
    weibull, rng = Weibull(shape, scale_s), random.Random(1)
    drawn = [weibull.draw_s(rng) for _ in range(DRAWS)]
    for share in (0.1, 0.5, 0.9):
        quantile_s = scale_s * (-math.log(1 - share)) ** (1 / shape)
        assert sum(one <= quantile_s for one in drawn) / DRAWS == pytest.approx(share, abs=0.01)
    assert fmean(drawn) == pytest.approx(weibull.mean_s, rel=0.05)


@pytest.mark.parametrize("shape", [0.61, 1.0, 2.0])
def test_what_remains_of_a_period_is_distributed_as_in_a_renewal_process(shape: float) -> None:
    weibull, rng = Weibull(shape, 100.0), random.Random(2)
    remaining = [weibull.remaining_s(rng) for _ in range(DRAWS)]
    # The density of what remains is the survival function over the mean (Cox 1962, 5.2).
    for until_s in (10.0, 100.0, 300.0):
        steps = 20_000
        survived = fmean(
            math.exp(-(((step + 0.5) * until_s / steps / 100.0) ** shape)) for step in range(steps)
        )
        expected = survived * until_s / weibull.mean_s
        assert sum(one <= until_s for one in remaining) / DRAWS == pytest.approx(expected, abs=0.01)


def test_the_published_habits() -> None:
    ipfs, kad = CHURN_MODELS["ipfs"], CHURN_MODELS["kad"]
    assert ipfs.availability == 0.5
    assert ipfs.up.mean_s / 3600 == pytest.approx(5.39, abs=0.01)
    assert kad.up.mean_s / 60 == pytest.approx(247.2, abs=0.5)
    assert kad.down.mean_s / 60 == pytest.approx(909, abs=3)
    assert kad.availability == pytest.approx(0.214, abs=0.002)


def test_a_population_is_stationary_from_the_start() -> None:
    """As many are up at the start as an hour or ten later, though sessions are memorable."""
    habits, rng = CHURN_MODELS["kad"], random.Random(3)
    checks_s = (0.0, 3600.0, 36_000.0)
    up = dict.fromkeys(checks_s, 0)
    population = 10_000
    for _ in range(population):
        is_up = rng.random() < habits.availability
        ends_s = (habits.up if is_up else habits.down).remaining_s(rng)
        for check_s in checks_s:
            while ends_s <= check_s:
                is_up = not is_up
                ends_s += (habits.up if is_up else habits.down).draw_s(rng)
            up[check_s] += is_up
    for check_s in checks_s:
        assert up[check_s] / population == pytest.approx(habits.availability, abs=0.015)


# residents

LIVELY = ChurnModel(Weibull(0.8, 300.0), Weibull(0.8, 300.0))


async def _world(nodes: int, seed: int = 1) -> tuple[World, list[ChurningResident]]:
    world = World(seed, settings=simulated_settings(cipher=cipher_named("test")))
    await world.populate(nodes, kind=ChurningResident)
    return world, [one for one in world.residents if isinstance(one, ChurningResident)]


async def _an_hour(crashes: float, seed: int = 1) -> tuple[World, list[ChurningResident], Churn]:
    world, comers = await _world(16, seed)
    churn = Churn(LIVELY, crashes=crashes, seed=seed)
    task = asyncio.create_task(churn.run(comers))
    await asyncio.sleep(3600)
    task.cancel()
    await asyncio.wait([task])
    return world, comers, churn


@pytest.mark.parametrize(("crashes", "silent"), [(0.0, 0), (1.0, 1), (0.5, None)])
async def test_residents_come_and_go_and_find_back(crashes: float, silent: int | None) -> None:
    world, comers, churn = await _an_hour(crashes)
    assert churn.stopped + churn.crashed > 50
    if silent is None:
        assert min(churn.stopped, churn.crashed) > 10
    else:
        assert (churn.stopped, churn.crashed)[1 - silent] == 0
    running = world.running()
    assert len(running) == sum(one.starts for one in comers) - churn.stopped - churn.crashed
    assert 2 <= len(running) <= 14
    await asyncio.sleep(120)  # residents that came at the end of the hour have joined
    assert all(one.has_joined for one in comers if one.membership is not None)
    churn.check()
    await world.close()


async def test_a_resident_that_comes_back_is_the_same_and_uses_saved_contacts() -> None:
    world, comers = await _world(12)
    comer = comers[5]
    before = comer.contact, comer.identity.peer_id
    comer.crash()
    assert [one for one in comers if not one.has_joined] == [comer]
    saved = list(comer.saved)
    assert saved
    await asyncio.sleep(60)
    await comer.start()
    assert comer.running.joining._saved == saved
    await asyncio.sleep(60)
    assert comer.has_joined
    assert (comer.contact, comer.running.server.identity.peer_id) == before
    await world.close()


async def test_presence_and_traffic_add_up_over_sessions() -> None:
    world, comers = await _world(12)
    comer = comers[3]
    host = comer.host
    started_s = 3 * JOIN_SPACING_S
    assert comer.present_s == pytest.approx(world.loop.time() - started_s)
    payload = host.sent_bytes + host.received_bytes
    assert payload < comer.traffic_bytes < 1.2 * payload
    for crashes in (True, False):
        present_s, traffic_bytes = comer.present_s, comer.traffic_bytes
        if crashes:
            comer.crash()
        else:
            await comer.stop()
        await asyncio.sleep(100)
        assert comer.present_s == present_s
        assert comer.traffic_bytes == traffic_bytes
        await comer.start()
        await asyncio.sleep(100)
        assert comer.present_s == pytest.approx(present_s + 100)
        assert comer.traffic_bytes > traffic_bytes
    assert comer.starts == 3
    assert len(comer.joins_s) == 2
    assert all(0 < one < 60 for one in comer.joins_s)
    await world.close()


def test_a_seed_has_one_history_of_churn_and_another_seed_another() -> None:
    async def main(seed: int) -> str:
        world, _, _ = await _an_hour(0.5, seed)
        digest = world.internet.log.digest()
        await world.close()
        return digest

    first, again, other = (run_virtually(main(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


async def test_a_defect_of_a_node_that_left_is_not_lost() -> None:
    world, comers = await _world(8)
    comers[2].running.tasks.defects.append(ValueError("a defect"))
    churn = Churn(ChurnModel(Weibull(1.0, 1.0), Weibull(1.0, 1e9)), crashes=1.0, seed=1)
    task = asyncio.create_task(churn.run(comers))
    await asyncio.sleep(100)
    task.cancel()
    await asyncio.wait([task])
    with pytest.raises(BaseExceptionGroup, match="nodes had defects"):
        churn.check()
    await world.close()
