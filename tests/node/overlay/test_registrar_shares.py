"""A registrar that is full: networks with many registrations make room for those with few."""

from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from node.overlay.rpc.incoming import Incoming
from node.overlay.signaling.registrar import Registrar
from protocol import limits
from protocol.addresses import Address
from protocol.errors import RateLimited


def registrar() -> Registrar:
    unused: Any = None
    return Registrar(bytes(20), unused, unused, unused, answer_offer=unused)


def sender(number: int, host: str) -> Incoming:
    session = SimpleNamespace(peer_id=number.to_bytes(20), public_key=number.to_bytes(32))
    return cast("Incoming", SimpleNamespace(session=session, address=Address(host, 4001)))


@pytest.mark.parametrize("form", ["5.{}.0.1", "2a02:{:x}::1"], ids=["/24", "/32"])
async def test_a_few_networks_do_not_fill_a_registrar_against_others(form: str) -> None:
    full = registrar()
    for number in range(limits.REGISTRATIONS):
        full.register(sender(number, form.format(number % 8 + 1)), b"proof", 0.0)
    with pytest.raises(RateLimited):
        full.register(sender(90_000, form.format(1)), b"proof", 1.0)
    for number in range(50):
        full.register(sender(50_000 + number, f"8.8.{number}.8"), b"proof", 1.0)
        assert full.contact_of((50_000 + number).to_bytes(20)) is not None
    assert len(full) == limits.REGISTRATIONS
    for number in range(limits.REGISTRATIONS):
        with suppress(RateLimited):
            full.register(sender(number, form.format(number % 8 + 1)), b"proof", 2.0)
    assert all(full.contact_of((50_000 + number).to_bytes(20)) for number in range(50))


async def test_a_peer_that_comes_from_another_network_is_held_by_that_one() -> None:
    full = registrar()
    for number in range(limits.REGISTRATIONS):
        full.register(sender(number, "5.5.5.5"), b"proof", 0.0)
    full.register(sender(0, "8.8.8.8"), b"proof", 1.0)
    full.register(sender(50_000, "9.9.9.9"), b"proof", 1.0)
    assert full.contact_of(bytes(20)) is not None
    assert full.contact_of((1).to_bytes(20)) is None, "the oldest of the network with most"
    full.register(sender(0, "8.8.8.8"), b"proof", limits.REGISTRATION_S + 1.0)
    assert len(full) == 2 - 1
