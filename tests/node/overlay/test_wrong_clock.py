"""A node whose clock is off is told so, and not that the peer or the mod does not exist."""

import asyncio

import pytest

from protocol.causes.cause import Cause
from protocol.description import Description
from protocol.errors import ClocksDiffer
from protocol.reachability.clock_signs import ClockVerdict, ClockView
from protocol.signaling import Offer
from tests.node.overlay.network import describing, description, network, open_peer

pytestmark = pytest.mark.usefixtures("machine")


async def accept(_: Offer) -> Description:
    return description(2)


@pytest.mark.parametrize(
    ("clock_ahead_s", "verdict"),
    [
        (-3600.0, "perhaps_behind"),
        (-90.0, "perhaps_behind"),
        (90.0, "perhaps_ahead"),
        (3 * 3600.0, "perhaps_ahead"),
    ],
)
async def test_a_call_by_a_wrong_clock_fails_for_that_reason(
    clock_ahead_s: float, verdict: str
) -> None:
    """A clock that is behind finds others' records in the future; one ahead makes such an offer."""
    async with network(4, 1) as peers:
        callee = peers[4]
        await callee.register()
        callee.callee.accept_calls(accept)
        callee_id = callee.server.identity.peer_id
        caller = await open_peer(50, unreachable=True, clock_ahead_s=clock_ahead_s)
        try:
            await caller.join(peers[0].address)
            with pytest.raises(ClocksDiffer) as failed:
                await caller.caller.call(callee_id, describing())
            assert failed.value.cause is Cause.CLOCKS_DIFFER
            assert caller.server.own_clock.view().verdict.value == verdict
        finally:
            await caller.close()


async def test_what_a_clock_ahead_publishes_is_refused_and_counted_as_a_sign() -> None:
    async with network(4) as peers:
        ahead = await open_peer(50, unreachable=True, clock_ahead_s=3600.0)
        try:
            await ahead.join(peers[0].address)
            published = await ahead.server.publish(ahead.membership.presence.peer_record())
            assert published.confirmed == 0
            assert published.refused == {"issued_in_future": 4}
            view = ahead.server.own_clock.view()
            assert view.ahead_s == pytest.approx(3600.0, abs=1.0)
            said = ClockView(ClockVerdict.PERHAPS_AHEAD, 1, 1, view.ahead_s)
            assert view == said, "they are at one address"
        finally:
            await ahead.close()
            await asyncio.sleep(0)
