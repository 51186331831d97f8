"""Peers whose filters are never read hold up the question of who has a mod for a bounded time."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from node.overlay.records.availability_lookup import AvailabilityLookup, FilterAnswer
from protocol import limits
from protocol.identity import PeerId
from protocol.reachability.own_line import OwnLine

FAKES = 2000
LINKED = PeerId(bytes(20))


async def test_fakes_whose_filters_never_come(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(_lookup: AvailabilityLookup, peer_id: PeerId, _mod: bytes) -> FilterAnswer:
        if peer_id != LINKED:
            await asyncio.sleep(5.0)
            return FilterAnswer.UNREADABLE
        await asyncio.sleep(0.5)
        return FilterAnswer.YES

    monkeypatch.setattr(AvailabilityLookup, "ask", ask)
    overlay: Any = SimpleNamespace(wire=SimpleNamespace(line=OwnLine()))
    fakes = [PeerId(number.to_bytes(20)) for number in range(1, FAKES)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    answers = await AvailabilityLookup(overlay).held_by(bytes(32), [LINKED, *fakes])
    assert loop.time() - began <= limits.FILTERS_READ_S
    assert list(answers) == [LINKED, *fakes]
    assert answers.pop(LINKED) is True
    assert set(answers.values()) == {None}
    assert len(asyncio.all_tasks()) == 1
