"""A machine on the simulated internet: its addresses, its line, and whether it is there.

Code belongs to a host by the context variable `current_host`, which tasks and timers inherit, and
by its sockets: what a datagram sets off runs on the socket's host.

What sleep means: a sleeping host runs nothing, and packets to it are lost. Timers keep their
virtual times; those that came due while it slept run at the wake, late and in order, as on a
machine whose monotonic clock counts suspended time (Windows; Linux's does not).
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from simulations.internet.addresses import Endpoint, is_v6
from simulations.internet.gateway import Gateway
from simulations.internet.log import Fate
from simulations.internet.router import Pipe
from simulations.internet.space import Space
from simulations.internet.transport import Transport
from simulations.runtime.loop import current_host

if TYPE_CHECKING:
    from simulations.internet.nat import Nat
    from simulations.internet.topology import Topology

Result = TypeVar("Result")


class Host:
    """One machine. Made by `Internet.add_host`; the attributes are for reading.

    `barred` is why no packet goes in or out at present, or None.
    """

    __slots__ = (
        "__weakref__",
        "_internet",
        "addresses",
        "awake",
        "barred",
        "blocks_udp",
        "down",
        "held_back",
        "index",
        "name",
        "plugged",
        "received_bytes",
        "sent_bytes",
        "site",
        "space",
        "transports",
        "up",
    )

    def __init__(
        self, internet: "Topology", name: str, index: int, space: Space, site: int
    ) -> None:
        self._internet = internet
        self.name = name
        self.index = index
        self.space = space
        self.site = site
        self.addresses: list[str] = []
        self.transports: list[Transport] = []
        self.up: Pipe | None = None
        self.down: Pipe | None = None
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
        return self._internet.loop.create_task(coro, name=name, context=context)

    # where it is

    @property
    def box(self) -> "Nat | None":
        """The NAT box that it stands behind, if any."""
        return self.space.box

    @property
    def gateway(self) -> Gateway | None:
        """What UPnP discovery finds from here: the box's gateway, if it has UPnP switched on."""
        return None if self.space.box is None else self.space.box.gateway

    def address(self, *, v6: bool = False) -> str | None:
        """The first address of a family, if it has one."""
        return next((ip for ip in self.addresses if is_v6(ip) is v6), None)

    def move(
        self,
        addresses: list[str] | None = None,
        behind: "Nat | None" = None,
        site: int | None = None,
    ) -> None:
        """Change address, as from Wi-Fi to mobile: the old ones are dead from now on.

        Sockets bound to all addresses go on from the new ones; those bound to one that is gone stay
        open and mute. Without `addresses` new ones are given out, of the families it had.
        """
        self._internet.move_host(self, addresses, behind, site)

    # whether it is there

    def sleep(self) -> None:
        """Suspend the machine: none of its code runs, and packets to it are lost."""
        if self.awake:
            self.awake = False
            self._internet.loop.fall_asleep(self)
            self._changed()

    def wake(self) -> None:
        """Resume the machine; what came due meanwhile runs now, in order."""
        if not self.awake and self.held_back is not None:
            self.awake = True
            self._internet.loop.wake_up(self)
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

    def crash(self) -> "Host":
        """Kill the machine without warning, and return the one that stands in its place.

        The old one's tasks are neither cancelled nor ever resumed, and its sockets are gone without
        `connection_lost`. The new one has its name, addresses, box and line, and no code.
        """
        return self._internet.replace_host(self)

    def freeze(self) -> None:
        """Sleep for ever: what comes due is thrown away, and `wake` does nothing."""
        self.sleep()
        self.held_back = None

    def listener(self, endpoint: Endpoint) -> Transport | None:
        """The socket of this host that hears an endpoint of its own, loopback ones among them."""
        for transport in self.transports:
            same_family = transport.is_v6 is is_v6(endpoint[0])
            at_port = same_family and transport.bound[1] == endpoint[1]
            if at_port and (transport.is_wildcard or transport.bound == endpoint):
                return transport
        return None

    def _changed(self) -> None:
        if not (self.awake and self.plugged):
            self.barred = Fate.HOST_ABSENT
        else:
            self.barred = Fate.BLOCKED if self.blocks_udp else None
        self._internet.note(f"{self.name} {self.awake} {self.plugged} {self.blocks_udp}")
