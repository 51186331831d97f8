"""A relay of ours on this machine's loopback, for foreign clients, and what they talk to."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import random
import shutil
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from node.counters import Counters
from node.environment import Environment, udp_socket
from node.net.endpoint import Endpoint
from node.relay.client import Legs
from node.relay.dispatch import RelayDispatch
from node.relay.service import RelayService
from node.relay.settings import RelaySettings
from protocol.addresses import Address

SECRET = "a secret of the test"
RELAY_ID = bytes(20)
LOOPBACK = Address("127.0.0.1", 0)

needs_coturn = pytest.mark.skipif(
    shutil.which("turnutils_uclient") is None or shutil.which("turnserver") is None,
    reason="apt-get install coturn",
)


class RealRelay:
    """`address` is where it listens."""

    def __init__(self, endpoint: Endpoint, service: RelayService, counters: Counters) -> None:
        self.endpoint = endpoint
        self.service = service
        self.counters = counters

    @property
    def address(self) -> Address:
        return self.endpoint.addresses[4]


def free_range(count: int) -> int:
    """The first of so many UDP ports on loopback that are free now."""
    draw = random.Random()
    for _ in range(100):
        first = draw.randrange(20_000, 60_000)
        with contextlib.ExitStack() as held:
            try:
                for number in range(first, first + count):
                    held.callback(udp_socket("127.0.0.1", number).close)
            except OSError:
                continue
            return first
    raise RuntimeError("no free range of ports")


@contextlib.asynccontextmanager
async def real_relay(ports: int = 16, rate: int = 10**9) -> AsyncIterator[RealRelay]:
    environment, counters = Environment(), Counters()
    endpoint = Endpoint(counters, environment)
    legs: Legs = {}
    text = ""
    if ports:
        first = free_range(ports)
        text = f"127.0.0.1:{first}-{first + ports - 1}"
    service = RelayService(
        RELAY_ID,
        environment,
        endpoint,
        RelaySettings(rate=rate, ports=text, secret=SECRET if text else "", private=True),
        counters,
        is_our_relay=legs.__contains__,
        is_reachable=lambda: True,
    )
    await endpoint.open(LOOPBACK)
    RelayDispatch(service, legs, counters).listen(endpoint.demux)
    await service.open()
    try:
        yield RealRelay(endpoint, service, counters)
    finally:
        await service.close()
        await endpoint.close()


def rest_credentials(name: str, lifetime_s: int = 600) -> tuple[str, str]:
    """User name and password of a foreign client (TURN's REST form)."""
    username = f"{int(time.time()) + lifetime_s}:{name}"
    digest = hmac.new(SECRET.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


class Echo(asyncio.DatagramProtocol):
    """Sends everything back."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[Address]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=LOOPBACK)
    try:
        yield Address(*transport.get_extra_info("sockname"))
    finally:
        transport.close()


async def output_of(*words: str, within_s: float = 60.0) -> str:
    """Run a foreign program to its end; what it printed."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(within_s):
            printed, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return printed.decode(errors="replace")
