"""What a node takes from its machine and a simulation gives it instead: clock, randomness, names.

Monotonic time is the running loop's `time()`; everything else comes through here, so that one seed
can make one history.
"""

import asyncio
import os
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from node.interfaces import host_addresses
from node.upnp.router import Router, find_router
from protocol.errors import InsecureRandomness


def udp_socket(host: str, port: int) -> socket.socket:
    """A bound UDP socket; an IPv6 one leaves IPv4 alone, so both may have one port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


@dataclass(frozen=True, slots=True)
class Environment:
    """`wall` gives seconds since 1970; `rng` every random draw; `host_addresses` the
    machine's own IP literals, the most useful first.

    `udp_socket` binds a socket, or is None where the loop makes its own (a simulated internet).
    `find_router` looks for a UPnP router; None: the node asks no router. `thread_cpu_s` gives the
    CPU seconds that the calling thread has used. `file_times`: whether files have the times of this
    environment; those of a simulation are of the real machine, other ones each time. `variables`:
    those of the process, which name an HTTP proxy if there is one.
    """

    wall: Callable[[], float] = time.time
    rng: random.Random = field(default_factory=secrets.SystemRandom)
    host_addresses: Callable[[], list[str]] = host_addresses
    udp_socket: Callable[[str, int], socket.socket] | None = udp_socket
    find_router: Callable[[], Awaitable[Router | None]] | None = find_router
    thread_cpu_s: Callable[[], float] = time.thread_time
    file_times: bool = True
    variables: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def check_randomness(self) -> None:
        """Raise InsecureRandomness for a seeded source on a loop that runs in real time."""
        if isinstance(self.rng, secrets.SystemRandom):
            return
        if not getattr(asyncio.get_running_loop(), "virtual", False):
            raise InsecureRandomness(
                "a seeded random source may only be used in a simulation; "
                "a real node draws from the operating system"
            )
