"""A machine on the simulated internet: its addresses, its sockets, and whether it is there.

Code belongs to a host by the context variable `current_host`, which tasks and timers inherit, and
by its sockets: what a datagram sets off runs on the socket's host.

What sleep means: a sleeping host runs nothing, and packets to it are lost. Timers keep their
virtual times; those that came due while it slept run at the wake, late and in order, as on a
machine whose monotonic clock counts suspended time (Windows; Linux's does not).
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from simulations.internet.addresses import WILDCARDS, HostPort, is_v6
from simulations.internet.boxes.firewall import Firewall
from simulations.internet.boxes.gateway import Gateway
from simulations.internet.boxes.nat import Nat
from simulations.internet.lines import Pipe
from simulations.internet.log import EventLog, Fate
from simulations.internet.space import Box, Place
from simulations.runtime.handles import Result
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.sleeping import current_host
from simulations.runtime.waiting import live_tasks

Receive = Callable[[bytes, tuple[Any, ...]], object]
"""Takes a datagram and its source, as asyncio's protocols do."""


class Socket:
    """The kernel's side of a UDP socket; a `Transport` is the program's side.

    `source` is the endpoint it sends from now, None if its host lost it. `behind` is the box that
    its packets leave through, None where it is on the public internet. Datagrams go to `receive`.
    """

    __slots__ = (
        "behind",
        "bound",
        "context",
        "host",
        "is_open",
        "is_v6",
        "is_wildcard",
        "number",
        "receive",
        "remote",
        "source",
    )

    def __init__(
        self,
        host: "Host",
        bound: HostPort,
        remote: HostPort | None,
        number: int,
        context: contextvars.Context,
    ) -> None:
        self.host = host
        self.bound = bound
        self.remote = remote
        self.number = number
        self.context = context
        self.is_v6 = is_v6(bound[0])
        self.is_wildcard = bound[0] in WILDCARDS
        self.is_open = True
        self.receive: Receive = _discard
        self.source: HostPort | None = None
        self.behind: Box | None = None

    def hand_to(self, receive: Receive) -> None:
        """Let datagrams go to this function from now on."""
        self.receive = receive

    def place(self, addresses: list[str], behind: Box | None) -> None:
        """Send from the first of these addresses from now on, and through this box."""
        self.source = (addresses[0], self.bound[1]) if addresses else None
        self.behind = behind

    def shut(self) -> None:
        """Neither send nor receive any more."""
        self.is_open = False
        self.receive = _discard


def _discard(_data: bytes, _source: tuple[Any, ...]) -> None:
    """Take a datagram that no protocol is there for."""


class Host(Place):
    """One machine. Made by `Internet.add_host`; the attributes are for reading.

    `behind` is the NAT box that it stands behind, if any, and `firewall` what its IPv6 packets go
    through; `barred` is why no packet goes in or out at present, or None. `listening` has the
    socket at each of its endpoints.
    """

    __slots__ = (
        "__weakref__",
        "_log",
        "_loop",
        "addresses",
        "awake",
        "barred",
        "behind",
        "blocks_udp",
        "firewall",
        "held_back",
        "index",
        "listening",
        "name",
        "plugged",
        "received_bytes",
        "sent_bytes",
        "sockets",
    )

    def __init__(
        self,
        loop: VirtualLoop,
        log: EventLog,
        name: str,
        index: int,
        *,
        behind: Nat | None,
        firewall: Firewall | None,
        site: int,
        access_line: tuple[Pipe | None, Pipe | None],
    ) -> None:
        super().__init__(site, *access_line)
        self._loop = loop
        self._log = log
        self.name = name
        self.index = index
        self.behind = behind
        self.firewall = firewall
        self.addresses: list[str] = []
        self.sockets: list[Socket] = []
        self.listening: dict[HostPort, Socket] = {}
        self.awake = True
        self.plugged = True
        self.blocks_udp = False
        self.barred: Fate | None = None
        self.held_back: list[asyncio.Handle] | None = []
        self.sent_bytes = 0
        self.received_bytes = 0

    def __repr__(self) -> str:
        return f"<Host {self.name} {' '.join(self.addresses)}>"

    # running code on it

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """What runs inside the `with` block, and what it starts, belongs to this host."""
        token = current_host.set(self)
        try:
            yield
        finally:
            current_host.reset(token)

    def create_task(
        self, coro: Coroutine[Any, Any, Result], *, name: str | None = None
    ) -> "asyncio.Task[Result]":
        """A task that belongs to this host."""
        context = contextvars.copy_context()
        context.run(current_host.set, self)
        return self._loop.create_task(coro, name=name, context=context)

    # where it is

    @property
    def gateway(self) -> Gateway | None:
        """What UPnP discovery finds from here: the box's gateway, if it has UPnP switched on."""
        return None if self.behind is None else self.behind.gateway

    @property
    def is_behind_nat64(self) -> bool:
        """Whether its box translates from IPv6."""
        return self.firewall is not None and self.firewall.translator is not None

    def address(self, *, v6: bool = False) -> str | None:
        """The first address of a family, if it has one."""
        return next((ip for ip in self.addresses if is_v6(ip) is v6), None)

    def settle(
        self, addresses: list[str], behind: Nat | None, firewall: Firewall | None, site: int
    ) -> None:
        """Have these addresses and no others from now on; the sockets follow."""
        self.addresses = addresses
        self.behind = behind
        self.firewall = firewall
        self.site = site
        self.listening.clear()
        for socket in self.sockets:
            self._listen(socket)

    # sockets

    def open(self, socket: Socket) -> None:
        """Enter a new socket at every address that it is bound to."""
        self.sockets.append(socket)
        self._listen(socket)

    def close(self, socket: Socket) -> None:
        """Forget a socket."""
        self.sockets.remove(socket)
        socket.shut()
        for endpoint in [at for at, listening in self.listening.items() if listening is socket]:
            del self.listening[endpoint]

    def listener(self, endpoint: HostPort) -> Socket | None:
        """The socket of this host that hears an endpoint of its own, loopback ones among them."""
        for socket in self.sockets:
            same_family = socket.is_v6 is is_v6(endpoint[0])
            at_port = same_family and socket.bound[1] == endpoint[1]
            if at_port and (socket.is_wildcard or socket.bound == endpoint):
                return socket
        return None

    def _listen(self, socket: Socket) -> None:
        bound, port = socket.bound
        fitting = [ip for ip in self.addresses if is_v6(ip) is socket.is_v6]
        mine = fitting if socket.is_wildcard else [ip for ip in fitting if ip == bound]
        socket.place(mine, self.firewall if socket.is_v6 else self.behind)
        for address in mine:
            self.listening[address, port] = socket

    # whether it is there

    def sleep(self) -> None:
        """Suspend the machine: none of its code runs, and packets to it are lost."""
        if self.awake:
            self.awake = False
            self._loop.fall_asleep(self)
            self._changed()

    def wake(self) -> None:
        """Resume the machine; what came due meanwhile runs now, in order."""
        if not self.awake and self.held_back is not None:
            self.awake = True
            self._loop.wake_up(self)
            self._changed()

    def unplug(self) -> None:
        """Pull the cable: its code runs on, and no packet leaves or arrives."""
        self.plugged = False
        self._changed()

    def plug(self) -> None:
        """Put the cable back."""
        self.plugged = True
        self._changed()

    def block_udp(self, *, blocked: bool = True) -> None:
        """Set or lift a firewall on the machine that drops every UDP packet, in and out."""
        self.blocks_udp = blocked
        self._changed()

    def kill(self) -> None:
        """Lose power for good: its tasks neither end nor go on, its sockets are gone silently."""
        self.sleep()
        self.held_back = None  # what comes due is thrown away, and `wake` does nothing
        tasks = live_tasks(self._loop)
        self._loop.bury([task for task in tasks if getattr(task, "host", None) is self])
        for socket in self.sockets:
            socket.shut()
        self.listening.clear()

    def _changed(self) -> None:
        if not (self.awake and self.plugged):
            self.barred = Fate.HOST_ABSENT
        else:
            self.barred = Fate.BLOCKED if self.blocks_udp else None
        state = f"{self.name} {self.awake} {self.plugged} {self.blocks_udp}"
        self._log.add_text(self._loop.now, Fate.CHANGED, state)
