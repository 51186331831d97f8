"""What attackers of links run on."""

from collections.abc import Iterator

import pytest

from node.content.serve import exchange
from node.content.serve.uploader import Uploader
from simulations.attacks.holders import HostileUploaders
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


@pytest.fixture
def uploaders(monkeypatch: pytest.MonkeyPatch) -> HostileUploaders:
    """Lets holders of a test serve like attackers."""
    hostile = HostileUploaders(Uploader)
    monkeypatch.setattr(exchange, "Uploader", hostile)
    return hostile
