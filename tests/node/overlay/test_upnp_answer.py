"""What the router said when it was asked to forward a port is kept, for people to read."""

import asyncio
import random

import pytest

from node.overlay.reachability.forwarding import PortForwarding
from node.upnp.process import CONFLICT
from node.upnp.router import MappedProtocol, MappedTo, Router
from protocol.addresses import Address
from protocol.causes.network_kind import UpnpAnswer
from protocol.errors import RouterRefused

PORT = 4001


class AnsweringRouter:
    """Has one outside address; `refusal` is raised instead of a mapping."""

    def __init__(self, outside: str, refusal: Exception | None = None) -> None:
        self._outside = outside
        self._refusal = refusal
        self._mappings: dict[int, int] = {}
        self.is_closed = False

    async def external_address(self) -> str:
        return self._outside

    async def add_port_mapping(
        self, protocol: MappedProtocol, outer_port: int, inner_port: int, lease_s: int
    ) -> None:
        if self._refusal is not None:
            raise self._refusal
        self._mappings[outer_port] = inner_port

    async def mapped(self, protocol: MappedProtocol, outer_port: int) -> MappedTo | None:
        inner_port = self._mappings.get(outer_port)
        return None if inner_port is None else MappedTo(True, inner_port)

    async def delete_port_mapping(self, protocol: MappedProtocol, outer_port: int) -> None:
        del self._mappings[outer_port]

    async def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("router", "answer", "refusal"),
    [
        (None, UpnpAnswer.NO_ANSWER, ""),
        (AnsweringRouter("192.0.2.1"), UpnpAnswer.FORWARDS, ""),
        (AnsweringRouter("10.0.0.7"), UpnpAnswer.PRIVATE_OUTSIDE, ""),
        (AnsweringRouter(""), UpnpAnswer.REFUSED, "not an IP address: ''"),
        (
            AnsweringRouter("192.0.2.1", RouterRefused(CONFLICT, "taken")),
            UpnpAnswer.REFUSED,
            "taken",
        ),
        (AnsweringRouter("192.0.2.1", TimeoutError()), UpnpAnswer.NO_ANSWER, ""),
    ],
    ids=["none", "forwards", "double NAT", "offline", "refuses", "silent"],
)
async def test_the_answer_is_kept(router: Router | None, answer: UpnpAnswer, refusal: str) -> None:
    async def find_router() -> Router | None:
        return router

    forwarded: list[Address | None] = []
    forwarding = PortForwarding(
        find_router,
        random.Random(1),
        is_global=lambda address: not address.host.startswith("10."),
        forwards=forwarded.append,
    )
    assert (forwarding.answer, forwarding.refusal) == (UpnpAnswer.NOT_ASKED, "")
    running = asyncio.ensure_future(forwarding.run(PORT))
    await asyncio.sleep(1.0)
    running.cancel()
    assert forwarding.answer == answer
    assert refusal in forwarding.refusal
    assert forwarded == [Address("192.0.2.1", PORT) if answer is UpnpAnswer.FORWARDS else None]
