"""Who is on the internet, where, and behind what: hosts, boxes, addresses and sites."""

import asyncio
from collections.abc import Sequence

from simulations.errors import BadTopology
from simulations.internet.addresses import (
    AddressPool,
    canonical,
    inside_address,
    is_v6,
)
from simulations.internet.carrier import Carrier
from simulations.internet.host import Host
from simulations.internet.latency import Latency
from simulations.internet.nat import Nat, NatBehaviour
from simulations.internet.router import Access, pipes
from simulations.internet.space import LAN_ONE_WAY_S, Space
from simulations.internet.transport import Transport
from simulations.runtime.loop import VirtualLoop
from simulations.seeds import derive_rng


class Topology(Carrier):
    """Hosts and boxes; everything random comes from sources derived from `seed`, by purpose."""

    def __init__(self, loop: VirtualLoop, seed: int | str, latency: Latency) -> None:
        super().__init__(loop, latency, derive_rng(seed, "faults"))
        self.seed = seed
        self.hosts: list[Host] = []
        self.boxes: list[Nat] = []
        self._pool = AddressPool(derive_rng(seed, "addresses"))
        self._nat_rng = derive_rng(seed, "nat ports")
        self._first_site = derive_rng(seed, "sites").randrange(latency.sites)
        self._sites_given = 0
        self._holders: dict[str, list[Host]] = {}

    # building

    def add_nat(
        self,
        behaviour: NatBehaviour | None = None,
        *,
        addresses: Sequence[str] | None = None,
        behind: Nat | None = None,
        site: int | None = None,
        access: Access | None = None,
        one_way_s: float = LAN_ONE_WAY_S,
    ) -> Nat:
        """A box on the public internet, or behind another (CGNAT), with its outside addresses.

        `one_way_s` is the way between two members of its inside.
        """
        outside = self.public if behind is None else behind.inside
        network = self._pool.inside_network()
        inside = Space(f"the inside of box {len(self.boxes)}", network, one_way_s)
        own = [_spelled(ip) for ip in addresses or [self._new_address(behind)]]
        box = Nat(
            behaviour or NatBehaviour(),
            own,
            inside,
            outside,
            site=self._place(site, behind),
            clock=self.loop.time,
            port_rng=self._nat_rng,
        )
        for address in own:
            outside.claim(address, box)
        inside.box = box
        box.up, box.down = pipes(access, self._fault_rng)
        self.boxes.append(box)
        return box

    def add_host(
        self,
        name: str | None = None,
        addresses: Sequence[str] | None = None,
        *,
        behind: Nat | None = None,
        site: int | None = None,
        access: Access | None = None,
        v4: bool = True,
        v6: bool = False,
    ) -> Host:
        """A host, public or behind a box. Addresses it is not given are drawn: `v4`, `v6` or both.

        IPv6 addresses are public ones wherever the host stands. BadTopology if one is taken.
        """
        space = self.public if behind is None else behind.inside
        index = len(self.hosts)
        host = Host(self, name or f"host{index}", index, space, self._place(site, behind))
        wanted = [_spelled(ip) for ip in addresses or ()]
        if v4 and not wanted:
            wanted.append(self._new_address(behind))
        if v6:
            wanted.append(self._pool.global_v6())
        self._claim(host, wanted)
        host.up, host.down = pipes(access, self._fault_rng)
        self.hosts.append(host)
        return host

    def set_access(self, place: Host | Nat, access: Access | None) -> None:
        """Give a host or a box another access line, with empty queues."""
        place.up, place.down = pipes(access, self._fault_rng)

    def move_host(
        self, host: Host, addresses: list[str] | None, behind: Nat | None, site: int | None
    ) -> None:
        """See `Host.move`."""
        wanted = [_spelled(ip) for ip in addresses or []]
        if not wanted:
            had_v6 = [is_v6(ip) for ip in host.addresses]
            wanted = [
                self._pool.global_v6() if its_v6 else self._new_address(behind) for its_v6 in had_v6
            ]
        self._release(host)
        host.space = self.public if behind is None else behind.inside
        if site is not None or behind is not None:
            host.site = self._place(site, behind)
        self._claim(host, wanted)
        self.note(f"{host.name} moved to {' '.join(wanted)}")

    def replace_host(self, old: Host) -> Host:
        """See `Host.crash`."""
        old.freeze()
        for task in asyncio.all_tasks(self.loop):
            if getattr(task, "host", None) is old:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                asyncio.tasks._unregister_task(task)  # nobody is to cancel it or wait for it
        for transport in old.transports:
            self._unlisten(transport)
            transport.silence()
        addresses = old.addresses
        self._release(old)
        new = Host(self, old.name, old.index, old.space, old.site)
        new.up, new.down = old.up, old.down
        self._claim(new, addresses)
        self.hosts[old.index] = new
        self.note(f"{new.name} crashed")
        return new

    def host_of(self, address: str) -> Host | None:
        """The host that has an address, if exactly one has."""
        holders = self._holders.get(address, [])
        return holders[0] if len(holders) == 1 else None

    def is_known(self, address: str) -> bool:
        """Whether an address is spelled as one that a host or a public box has."""
        return address in self._holders or address in self.public.owners

    # sockets follow their host's addresses

    def _listen(self, transport: Transport) -> None:
        """Enter a socket at every address that it is bound to and its host has."""
        host, (bound, port) = transport.host, transport.bound
        transport.space = self.public if transport.is_v6 else host.space
        fitting = [ip for ip in host.addresses if is_v6(ip) is transport.is_v6]
        mine = fitting if transport.is_wildcard else [ip for ip in fitting if ip == bound]
        transport.source = (mine[0], port) if mine else None
        for address in mine:
            transport.space.sockets[address, port] = transport

    def _unlisten(self, transport: Transport) -> None:
        for address in transport.host.addresses:
            endpoint = address, transport.bound[1]
            if transport.space.sockets.get(endpoint) is transport:
                del transport.space.sockets[endpoint]

    # addresses

    def _place(self, site: int | None, behind: Nat | None) -> int:
        if site is not None:
            return site % self._latency.sites
        if behind is not None:
            return behind.site
        self._sites_given += 1
        return (self._first_site + self._sites_given) % self._latency.sites

    def _new_address(self, behind: Nat | None) -> str:
        if behind is None:
            return self._pool.global_v4()
        behind.members_made += 1
        return inside_address(behind.inside.network, behind.members_made)

    def _space_of(self, address: str, host: Host) -> Space:
        return self.public if is_v6(address) else host.space

    def _claim(self, host: Host, addresses: list[str]) -> None:
        host.addresses = addresses
        for address in addresses:
            self._space_of(address, host).claim(address, host)
            self._holders.setdefault(address, []).append(host)
        for transport in host.transports:
            self._listen(transport)

    def _release(self, host: Host) -> None:
        for transport in host.transports:
            self._unlisten(transport)
        for address in host.addresses:
            self._space_of(address, host).release(address)
            self._holders[address].remove(host)
            if not self._holders[address]:
                del self._holders[address]
        host.addresses = []


def _spelled(address: str) -> str:
    spelled = canonical(address)
    if spelled is None:
        raise BadTopology(f"{address!r} is not an IP address")
    return spelled
