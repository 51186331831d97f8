"""Links on a simulated machine, unless a test is marked real_loop."""

import inspect
from collections.abc import Iterator

import pytest

from simulations.libraries.seams import virtual_libraries


@pytest.fixture(autouse=True)
def _on_a_machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """The machine of an async test, whose clock and addresses also aiortc and aioice get."""
    is_real = request.node.get_closest_marker("real_loop") is not None
    if is_real or not inspect.iscoroutinefunction(request.function):
        yield
        return
    request.getfixturevalue("machine")
    internet = request.getfixturevalue("loop").network
    with virtual_libraries(internet):
        yield
