"""When a channel blames its path for what is not acknowledged."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.node.links.channel_pair import channels

pytestmark = pytest.mark.leaves_nothing

REPEATED_AT = (1.0, 1.2, 1.6, 2.4, 4.0, 7.2)
"""The time of the first repetition, by a probe of the tail, and then those of timeouts."""


async def blamed_after(answered_at: float) -> int | None:
    """After how many timeouts, where checks are answered from then on."""
    async with channels() as (one, _):
        channel: Any = one.channel
        dtls, blamed = channel.dtls, False

        def blame() -> None:
            nonlocal blamed
            blamed = True

        agent = SimpleNamespace(answered_at=0.5)
        ice = SimpleNamespace(agent=agent, is_relayed=False, data_lost=blame, doubt=lambda: None)
        channel.dtls = SimpleNamespace(ice=ice)
        for timeouts, now in enumerate(REPEATED_AT):
            if now > answered_at:
                agent.answered_at = now - 0.05
            sender = SimpleNamespace(timeouts_in_row=timeouts, silent_since=REPEATED_AT[0])
            channel._repeated(sender, now)
            if blamed:
                break
        channel.dtls = dtls
        return timeouts if blamed else None


async def test_a_path_that_answers_checks_is_blamed_after_three_timeouts() -> None:
    assert await blamed_after(1.1) == 3


@pytest.mark.parametrize(("answered_at", "timeouts"), [(2.0, 4), (3.0, 5), (6.0, None)])
async def test_a_path_that_has_just_recovered_is_given_one_more(
    answered_at: float, timeouts: int | None
) -> None:
    """It answers checks before what was sent is repeated by it."""
    assert await blamed_after(answered_at) == timeouts


async def test_a_path_that_answers_nothing_is_not_blamed_for_data() -> None:
    assert await blamed_after(100.0) is None
