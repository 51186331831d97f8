"""A peer with a link names a victim's addresses as its witnesses, and all its searches miss.

Who may hold them: the bytes of its offer, however long it waits. How they are won back: by time.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.links.punching.punching import LinkPunching
from node.links.punching.search import PortSearch
from protocol import limits
from protocol.addresses import Address
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.punching import puncher
from simulations.internet import Host
from simulations.internet.carrier import Carrier
from simulations.runtime.sleeping import current_host
from simulations.seeds import derive_rng
from tests.simulations.pair_world import pair_world

LATE_S = 0.9 * limits.BIRTHDAY_PATIENCE_S
"""It lets the other wait for its part."""

WAIT_S = 290.0
"""A link is closed after 300 s without a frame."""


async def test_silent_witnesses_are_within_the_bytes_of_the_offer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attackers: list[Host] = []
    named: list[Contact] = []
    sent: list[bytes] = []

    def naming(original: Callable[..., Any]) -> Callable[..., Any]:
        def own_witnesses(punching: LinkPunching, *args: Any) -> tuple[Contact, ...]:
            mine: tuple[Contact, ...] = original(punching, *args)
            some = mine[: limits.WITNESSES_NEEDED]
            return (*named, *some) if current_host.get() in attackers else mine

        return own_witnesses

    def watching(original: Callable[..., None]) -> Callable[..., None]:
        def send(carrier: Carrier, sender: Any, data: bytes, to: Any, ttl: Any = None) -> None:
            hosts = {one.address.host for one in named}
            if sender.host not in attackers and to[0] in hosts:
                sent.append(data)
            original(carrier, sender, data, to, ttl)

        return send

    monkeypatch.setattr(LinkPunching, "own_witnesses", naming(LinkPunching.own_witnesses))
    ready = PortSearch._hosts_ready

    async def late(search: PortSearch) -> frozenset[str]:
        if current_host.get() in attackers:
            await asyncio.sleep(LATE_S)
        return await ready(search)

    monkeypatch.setattr(PortSearch, "_hosts_ready", late)
    monkeypatch.setattr(puncher, "ports_to_probe", lambda _rng, _near: list(range(1, 1024)))
    monkeypatch.setattr(Carrier, "send", watching(Carrier.send))
    async with pair_world(tmp_path, seed=2) as town:
        callee, attacker = await town.settled("symmetric", "port-restricted")
        attackers.append(attacker.host)
        host = town.world.internet.add_host().addresses[0]
        rng = derive_rng(1, "keys of witnesses")
        named += [
            Contact.at(Identity(rng.randbytes(32)).public_key, Address(host, 6000 + number))
            for number in range(limits.WITNESSES - limits.WITNESSES_NEEDED)
        ]
        link, _ = await town.linked(attacker, callee)
        await asyncio.sleep(WAIT_S)
        assert link.path.way == "relayed"
        assert len(sent) >= limits.WITNESSES_NEEDED
        assert sum(map(len, sent)) <= limits.SIGNAL_BYTES
