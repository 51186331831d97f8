"""That an asynchronous test cannot pass by accident: see tests/conftest.py."""

import asyncio
from pathlib import Path

import pytest

from simulations.errors import CallbackFailed, Stuck, TouchedRealWorld


def _fail() -> None:
    raise ZeroDivisionError


async def test_waiting_costs_nothing() -> None:
    await asyncio.sleep(1e9)
    assert asyncio.get_running_loop().time() == 1e9


@pytest.mark.xfail(raises=ZeroDivisionError)
async def test_a_failure_fails() -> None:
    await asyncio.sleep(1.0)
    _fail()


@pytest.mark.xfail(raises=CallbackFailed)
async def test_a_failure_of_a_callback_fails() -> None:
    asyncio.get_running_loop().call_later(1.0, _fail)
    await asyncio.sleep(2.0)


@pytest.mark.xfail(raises=Stuck)
async def test_waiting_for_what_never_happens_fails() -> None:
    await asyncio.Event().wait()


@pytest.mark.xfail(raises=TouchedRealWorld)
async def test_the_real_network_is_refused(tmp_path: Path) -> None:
    await asyncio.get_running_loop().create_unix_server(asyncio.Protocol, str(tmp_path / "socket"))


@pytest.mark.xfail(raises=AssertionError)
@pytest.mark.real_loop
async def test_a_failure_of_a_callback_fails_in_real_time_too() -> None:
    asyncio.get_running_loop().call_soon(_fail)
    await asyncio.sleep(0)


@pytest.mark.xfail(raises=(AssertionError, CallbackFailed))
@pytest.mark.leaves_nothing
async def test_a_task_that_is_left_fails() -> None:
    task = asyncio.ensure_future(asyncio.Event().wait())
    await asyncio.sleep(0)
    assert not task.done(), "this is not the assertion that is to fail"
