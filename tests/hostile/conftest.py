"""What attackers of links run on."""

from collections.abc import Iterator

import pytest

from simulations.internet.host import Host
from simulations.internet.internet import Internet
from simulations.libraries.seams import virtual_libraries
from simulations.runtime.loop import VirtualLoop


@pytest.fixture
def links(loop: VirtualLoop, machine: Host) -> Iterator[Host]:
    """The machine of an async test, whose clock and addresses also the libraries of links get."""
    internet = loop.network
    assert isinstance(internet, Internet)
    with virtual_libraries(internet):
        yield machine
