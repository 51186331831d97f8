"""Nodes on loopback, of which some have no UDP."""

import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from node.config import Config
from node.environment import Environment, udp_socket
from node.runtime import Node
from tests.identities import give_identities


class SilentSocket(socket.socket):
    """A socket of UDP whose datagrams get lost, both ways."""

    def sendto(self, data: Any, *_rest: Any) -> int:
        return len(data)

    def sendmsg(self, buffers: Iterable[Any], *_rest: Any) -> int:
        return sum(map(len, buffers))


def silent_udp(host: str, port: int) -> socket.socket:
    """A bound socket that hears only the port of `discard`, so nothing."""
    made = udp_socket(host, port)
    made.connect((host, 9))
    silent = SilentSocket(fileno=made.detach())
    silent.setblocking(False)
    return silent


BLOCKED = replace(Environment(), udp_socket=silent_udp, find_router=None, variables={})
FREE = replace(Environment(), find_router=None, variables={})


@asynccontextmanager
async def node_at(
    home: Path, number: int, environment: Environment, *bootstraps: Node, **settings: Any
) -> AsyncIterator[Node]:
    """A node that runs; `number` tells which identity it has."""
    give_identities([home], number)
    told = tuple(str(one.membership.endpoint.addresses[4]) for one in bootstraps)
    config = Config(listen=("127.0.0.1:0",), bootstrap=told, **settings)
    node = Node.open(home, config, environment, lambda _: None)
    await node.start()
    try:
        yield node
    finally:
        await node.stop()
        assert node.defects == []
