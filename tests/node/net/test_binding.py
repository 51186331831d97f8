"""A port that the system draws is free by TCP as well, so that streams come in there."""

import asyncio

import pytest

from node.counters import Counters
from node.environment import Environment
from node.net.binding import open_drawn
from node.net.endpoint import Endpoint
from protocol.addresses import Address

pytestmark = pytest.mark.real_loop


async def test_what_is_another_s_by_tcp_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint(Counters(), Environment())
    drawn: list[Address] = []
    servers: list[asyncio.Server] = []
    real = endpoint.open

    async def opened(address: Address, *, deaf: bool = False) -> Address:
        """Another program takes TCP of the first three ports."""
        bound = await real(address, deaf=deaf)
        drawn.append(bound)
        if len(drawn) <= 3:
            loop = asyncio.get_running_loop()
            servers.append(await loop.create_server(asyncio.Protocol, *bound))
        return bound

    monkeypatch.setattr(endpoint, "open", opened)
    kept = await open_drawn(endpoint, "127.0.0.1")
    assert kept == drawn[-1]
    assert len(drawn) == 4
    assert endpoint.addresses == {4: kept}
    for server in servers:
        server.close()
    await endpoint.close()


async def test_where_all_are_another_s_the_last_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint(Counters(), Environment())

    async def refused(*_: object) -> None:
        raise OSError("taken")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_server", refused)
    kept = await open_drawn(endpoint, "127.0.0.1")
    assert endpoint.addresses == {4: kept}
    await endpoint.close()
