"""What holds for every test: none depends on how fast the machine is, and `async def` tests run.

An asynchronous test runs in virtual time: waiting costs nothing, and an uncaught exception fails
the test, as does waiting for what can never happen. The real network, processes and other threads
are refused; files are not. Two markers change that:

real_loop: asyncio's own loop and the real clock, for a test of what only the real world has: kernel
    sockets, HTTP, processes of foreign peers, a room that works in a thread of its own. An uncaught
    exception fails it too. It must not wait for time to pass.
leaves_nothing: at the end no task, no simulated socket and no lost exception may be left.

A test that takes the fixture `loop` runs on that loop; `machine` puts it on a simulated host.
"""

import asyncio
import gc
import inspect
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import settings

from simulations.internet.host import Host
from simulations.internet.internet import Internet
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.running import run_virtually
from simulations.runtime.waiting import describe_waiting, live_tasks

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """The virtual loop of this test."""
    loop = VirtualLoop()
    yield loop
    left = describe_waiting(loop) if live_tasks(loop) else ""
    loop.close()
    assert not left, f"the test left tasks behind:\n{left}"


@pytest.fixture
def machine(loop: VirtualLoop) -> Iterator[Host]:
    """A host on a simulated internet, and all that the test does is done there."""
    host = Internet(loop, 1).add_host("machine", ["198.51.100.1"], v6=True)
    with host.running():
        yield host


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function to its end, on the loop that its markers ask for."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = pyfuncitem.funcargs
    names = pyfuncitem._fixtureinfo.argnames
    test = pyfuncitem.obj(**{name: given[name] for name in names})
    if pyfuncitem.get_closest_marker("leaves_nothing") is not None:
        test = _leaving_nothing(test)
    if pyfuncitem.get_closest_marker("real_loop") is not None:
        assert "loop" not in given, "a test in real time takes no virtual loop"
        _run_in_real_time(test)
    else:
        run_virtually(test, pyfuncitem._request.getfixturevalue("loop"))
    return True


def _run_in_real_time(test: Coroutine[Any, Any, None]) -> None:
    failures: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failures.append(context))
        await test
        gc.collect()  # a task that failed and was never awaited reports that when it is collected

    asyncio.run(main())
    assert failures == []


async def _leaving_nothing(test: Coroutine[Any, Any, None]) -> None:
    await test
    for _ in range(3):  # a closed transport lets go of its socket in the next turn
        await asyncio.sleep(0)
    gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    network = getattr(asyncio.get_running_loop(), "network", None)
    if isinstance(network, Internet):
        assert [host.sockets for host in network.hosts if host.sockets] == []
