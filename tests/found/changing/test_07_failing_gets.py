"""A `get` that cannot succeed fails early, and within two seconds says what goes on."""

import asyncio
from pathlib import Path

import pytest

from protocol.content.link import ModLink
from protocol.errors import ModswarmError, NoSources
from protocol.identity import peer_id_text
from tests.found.changing.conftest import MIDWAY_S, Getting, shared_mod
from tests.found.crashes import crash

SAID_S = 2.0


@pytest.mark.parametrize(
    ("site", "fault", "at_most_s"),
    [
        ("public", "nobody", 1.0),
        ("public", "ended", 2.0),
        ("public", "killed", 2.0),
        ("port-restricted", "killed", 7.5),
        ("port-restricted", "removed", 2.0),
        ("public", "wrong key", 2.0),
    ],
)
async def test_a_get_fails_early_and_says_what_goes_on(
    tmp_path: Path, site: str, fault: str, at_most_s: float
) -> None:
    async with shared_mod(tmp_path, site, site) as (_, (getter, holder), link):
        if fault == "nobody":
            link = ModLink(bytes(range(32)), bytes(32))
        elif fault == "ended":
            await holder.stop()
        elif fault == "killed":
            await crash(holder)
        elif fault == "removed":
            with holder.host.running():
                await holder.running_node.sharing.remove(link.mod_id)
        else:
            link = ModLink(link.mod_id, bytes(32))
        getting = Getting(getter, link, tmp_path / "got")
        with pytest.raises(ModswarmError):
            await getting.task
        assert getting.seconds <= at_most_s
        said = [told for at, told in getting.told if at <= SAID_S]
        assert said
        assert said[0].stage == "finding"
        if fault != "nobody":
            assert any(told.holders == 1 for told in said)
            name = peer_id_text(holder.identity.peer_id)
            assert any(told.linking_with == name for told in said)


async def test_a_source_that_falls_silent_midway_is_told_long_before_its_link_is_lost(
    tmp_path: Path,
) -> None:
    async with shared_mod(tmp_path, "public", "public") as (_, (getter, holder), link):
        getting = Getting(getter, link, tmp_path / "got")
        await asyncio.sleep(MIDWAY_S)
        assert not any(told.silent_s for _, told in getting.told)
        holder.host.sleep()
        await asyncio.sleep(3.5)
        assert getting.told[-1][1].silent_s in {2, 3}
        holder.host.wake()
        await getting.task
        assert getting.told[-1][1].silent_s == 0


async def test_a_wait_lasts_as_long_as_the_person_said_whatever_is_searched(
    tmp_path: Path,
) -> None:
    wait_s = 5.0
    async with shared_mod(tmp_path, "public", "public") as (_, (getter, holder), link):
        getting = Getting(getter, link, tmp_path / "got", wait_s=wait_s)
        await asyncio.sleep(MIDWAY_S)
        holder.host.sleep()
        with pytest.raises(NoSources, match="5 s were waited for one"):
            await getting.task
        began = next(at for at, told in getting.told if told.stage == "waiting")
        assert getting.seconds - began < wait_s + 1.0
        holder.host.wake()
