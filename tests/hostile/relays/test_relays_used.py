"""Callers that name relays of their own: none of these takes a place of a relay that we choose."""

import asyncio

import pytest

from node.relay.port import RelayPort
from protocol import limits
from protocol.errors import ModswarmError
from simulations.runtime.loop import VirtualLoop
from tests.hostile.told import RecordProperty
from tests.node.relay.relay_town import Dweller, relay_town

NAMED = limits.RELAYS_USED
"""By six offers, each with three relays."""


async def name(victim: Dweller, relay: Dweller) -> RelayPort:
    """What the victim does for a caller that names a relay."""
    with victim.host.running():
        return await victim.membership.relay_client.allocate(relay.contact, ours=False)


async def test_relays_that_callers_name_keep_no_relay_of_our_choice_out(
    loop: VirtualLoop, record_property: RecordProperty
) -> None:
    async with relay_town(loop) as town:
        victim, own = await town.public(), await town.public()
        started = loop.time()
        (await victim.allocate(own)).close()
        alone_s = loop.time() - started
        record_property("alone_s", alone_s)
        record_property("attackers", NAMED)
        theirs = [await town.public() for _ in range(NAMED)]
        outcomes = await asyncio.gather(
            *(name(victim, relay) for relay in theirs), return_exceptions=True
        )
        held = [one for one in outcomes if isinstance(one, RelayPort)]
        assert len(held) == limits.RELAYS_USED // 2
        assert all(isinstance(one, RelayPort | ModswarmError) for one in outcomes)
        started = loop.time()
        port = await victim.allocate(await town.public())
        attacked_s = loop.time() - started
        record_property("attacked_s", attacked_s)
        assert attacked_s <= alone_s + 0.1
        assert not port.is_closing()


async def test_what_callers_name_gives_way_to_what_other_callers_name(loop: VirtualLoop) -> None:
    async with relay_town(loop) as town:
        victim = await town.public()
        held = [await name(victim, await town.public()) for _ in range(limits.RELAYS_USED // 2)]
        honest = await town.public()
        with pytest.raises(ModswarmError, match="every place is taken"):
            await name(victim, honest)
        await asyncio.sleep(limits.LINK_TENURE_S)
        port = await name(victim, honest)
        assert [one.is_closing() for one in held].count(True) == 1
        assert not port.is_closing()
        assert len(victim.membership.relay_client) == limits.RELAYS_USED // 2
