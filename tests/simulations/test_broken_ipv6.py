"""A home whose router gives addresses of IPv6 while nothing passes by it: it links as by IPv4."""

from pathlib import Path

import pytest

from tests.simulations.pair_world import Talk, pair_world

WAYS = {
    "public": "direct",
    "port-restricted": "direct",
    "dual-stack": "direct",
    "broken-ipv6": "direct",
    "nat64": "direct",
    "symmetric": "relayed",
    "ipv6": "relayed",
}
FIRST_TRY_S = 3.0


@pytest.mark.parametrize("calls", [True, False])
@pytest.mark.parametrize(("other", "way"), WAYS.items())
async def test_it_links_with_every_kind_in_its_first_try(
    tmp_path: Path, other: str, way: str, calls: bool
) -> None:
    async with pair_world(tmp_path, v6=True) as town:
        kinds = ("broken-ipv6", other) if calls else (other, "broken-ipv6")
        caller, callee = await town.settled(*kinds)
        outcome = await town.tried(caller, callee)
        assert (outcome.way, outcome.failure) == (way, "")
        assert outcome.seconds < FIRST_TRY_S
        link, theirs = await town.linked(caller, callee)
        await Talk(link, theirs).goes_on()
