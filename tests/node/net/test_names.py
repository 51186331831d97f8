"""A name of a host is looked up once at a time, however many wait for it."""

import asyncio
import socket
from typing import Any

import pytest

from node.net.names import NameLookups
from node.tasks import TaskOwner


class Resolver:
    """Answers when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.answers: list[asyncio.Future[list[Any]]] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._find)

    async def _find(self, host: str, _port: object) -> list[Any]:
        self.asked.append(host)
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        return await answer

    def says(self, *hosts: str) -> None:
        self.answers.pop().set_result([(0, kind, 0, "", (h, 0)) for h in hosts for kind in (1, 2)])


async def turns() -> None:
    """Let every task that can go on do so."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_who_gives_up_leaves_the_lookup_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, tasks = Resolver(monkeypatch), TaskOwner("names")
    names = NameLookups(tasks)
    for _ in range(50):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await names.find("proxy.corp")
    waiting = [asyncio.ensure_future(names.find("proxy.corp")) for _ in range(50)]
    await turns()
    assert resolver.asked == ["proxy.corp"]
    resolver.says("10.0.0.1", "10.0.0.2")
    assert await asyncio.gather(*waiting) == [("10.0.0.1", "10.0.0.2")] * 50
    again = asyncio.ensure_future(names.find("proxy.corp"))
    await turns()
    assert len(resolver.asked) == 2, "an answer is not kept"
    resolver.says("10.0.0.3")
    assert await again == ("10.0.0.3",)
    assert not tasks.defects
    await tasks.close()


async def test_an_error_is_told_to_all_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, tasks = Resolver(monkeypatch), TaskOwner("names")
    names = NameLookups(tasks)
    waiting = [asyncio.ensure_future(names.find("gone.corp")) for _ in range(3)]
    other = asyncio.ensure_future(names.find("other.corp"))
    await turns()
    assert sorted(resolver.asked) == ["gone.corp", "other.corp"]
    resolver.answers[resolver.asked.index("gone.corp")].set_exception(socket.gaierror(-2, "no"))
    for one in waiting:
        with pytest.raises(socket.gaierror):
            await one
    other.cancel()
    assert not tasks.defects
    await tasks.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
async def test_an_address_needs_no_lookup(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    resolver, tasks = Resolver(monkeypatch), TaskOwner("names")
    assert list(await NameLookups(tasks).find(host)) == [host]
    assert resolver.asked == []
    await tasks.close()
