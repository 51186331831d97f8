"""The simulated internet, complete: hosts and boxes, what carries their packets, their sockets.

    loop = VirtualLoop()
    internet = Internet(loop, seed=1, latency=SyntheticLatency(1))
    home = internet.add_nat(NatBehaviour(upnp=True))
    alice = internet.add_host("alice", behind=home)
    bob = internet.add_host("bob", addresses=["198.51.100.7"])
    internet.carrier.set_faults(Faults(loss=0.01))
    alice.create_task(main())

Everything random here comes from sources derived from `seed`, one for each purpose.
"""

from collections.abc import Iterator, Sequence

from simulations.errors import BadTopology
from simulations.internet.addresses import AddressPool, is_v6, spelled
from simulations.internet.boxes.behaviour import NatBehaviour
from simulations.internet.boxes.firewall import Firewall
from simulations.internet.boxes.nat import Nat
from simulations.internet.carrier import Carrier
from simulations.internet.host import Host
from simulations.internet.latency import Latency, UniformLatency
from simulations.internet.lines import Access, pipes
from simulations.internet.log import EventLog, Fate
from simulations.internet.names import Names
from simulations.internet.sockets import Sockets
from simulations.internet.space import LAN_ONE_WAY_S, Box, Place, Space
from simulations.internet.tcp.sockets import Tcp
from simulations.runtime.loop import VirtualLoop
from simulations.seeds import derive_rng

DEFAULT_RTT_S = 0.050


class Internet:
    """The topology: which hosts and boxes there are, where, and behind what.

    `carrier` moves their packets, `log` hashes the history, `names` is the resolver's table, and
    `sockets` opens sockets on the hosts, `tcp` connects them.
    """

    def __init__(self, loop: VirtualLoop, seed: int | str, latency: Latency | None = None) -> None:
        latency = latency or UniformLatency(DEFAULT_RTT_S)
        self.loop = loop
        self.seed = seed
        self.log = EventLog()
        self.names = Names()
        self.hosts: list[Host] = []
        self.boxes: list[Nat] = []
        self._fault_rng = derive_rng(seed, "faults")
        self._nat_rng = derive_rng(seed, "nat ports")
        self._pool = AddressPool(derive_rng(seed, "addresses"))
        self._sites = latency.sites
        self._last_site = derive_rng(seed, "sites").randrange(latency.sites)
        self._firewalls: dict[Nat, Firewall] = {}
        self._holders: dict[str, list[Host]] = {}
        self.carrier = Carrier(loop, self.log, latency, self._fault_rng)
        self.sockets = Sockets(
            loop,
            self.log,
            self.names,
            self._holders,
            port_rng=derive_rng(seed, "ports"),
            send=self.carrier.send,
        )
        self.tcp = Tcp(loop, self.carrier, self.names)
        # The loop has to be there first, and its network calls end here: hence this one hook.
        loop.use_network(self)

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
        network = self._pool.inside_network()
        behaviour = behaviour or NatBehaviour()
        box = Nat(
            behaviour,
            [_checked(ip) for ip in addresses or [self._new_address(behind)]],
            inside=Space(f"the inside of box {len(self.boxes)}", network, one_way_s),
            outside=self._space_behind(behind),
            behind=behind,
            site=self._site_for(site, behind),
            access_line=pipes(access, self._fault_rng),
            clock=self.loop.time,
            port_rng=self._nat_rng,
        )
        self.boxes.append(box)
        if behaviour.has_v6:
            outer = self._firewall_of(behind)
            self._firewalls[box] = Firewall(
                behaviour,
                inside=box.inside,
                outside=self.carrier.public if outer is None else outer.inside,
                behind=outer,
                site=box.site,
                access_line=(box.up, box.down),
                translator=box if behaviour.nat64 else None,
            )
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

        IPv6 addresses are public ones wherever the host stands. BadTopology if one is taken, or if
        IPv4 is asked for behind a NAT64 box.
        """
        index = len(self.hosts)
        host = Host(
            self.loop,
            self.log,
            name or f"host{index}",
            index,
            behind=behind,
            firewall=self._firewall_of(behind),
            site=self._site_for(site, behind),
            access_line=pipes(access, self._fault_rng),
        )
        wanted = [_checked(ip) for ip in addresses or ()]
        if v4 and not wanted:
            wanted.append(self._new_address(behind))
        if v6:
            wanted.append(self._pool.global_v6())
        self._settle(host, wanted, behind, host.site)
        self.hosts.append(host)
        return host

    # changing

    def set_access(self, place: Place, access: Access | None) -> None:
        """Give a host or a box another access line, with empty queues."""
        place.rewire(*pipes(access, self._fault_rng))
        if isinstance(place, Nat) and place in self._firewalls:
            self._firewalls[place].rewire(place.up, place.down)

    def move(
        self,
        host: Host,
        addresses: Sequence[str] | None = None,
        behind: Nat | None = None,
        site: int | None = None,
    ) -> None:
        """Give a host other addresses, as from Wi-Fi to mobile: the old ones are dead from now on.

        Sockets bound to all addresses go on from the new ones; those bound to one that is gone stay
        open and mute. Without `addresses` new ones are given out, of the families it had.
        """
        wanted = [_checked(ip) for ip in addresses or ()]
        if not wanted:
            had_v6 = [is_v6(ip) for ip in host.addresses]
            wanted = [
                self._pool.global_v6() if its_v6 else self._new_address(behind) for its_v6 in had_v6
            ]
        self._release(host)
        if site is not None or behind is not None:
            self._settle(host, wanted, behind, self._site_for(site, behind))
        else:
            self._settle(host, wanted, behind, host.site)
        self.log.add_text(
            self.loop.now, Fate.CHANGED, f"{host.name} moved to {' '.join(host.addresses)}"
        )

    def crash(self, old: Host) -> Host:
        """Kill a machine without warning, and return the one that stands in its place.

        The old one's tasks are neither cancelled nor ever resumed, and its sockets are gone without
        `connection_lost`. The new one has its name, addresses, box and line, and no code.
        """
        old.kill()
        self._release(old)
        new = Host(
            self.loop,
            self.log,
            old.name,
            old.index,
            behind=old.behind,
            firewall=old.firewall,
            site=old.site,
            access_line=(old.up, old.down),
        )
        self._settle(new, old.addresses, old.behind, old.site)
        self.hosts[old.index] = new
        self.log.add_text(self.loop.now, Fate.CHANGED, f"{new.name} crashed")
        return new

    def host_of(self, address: str) -> Host | None:
        """The host that has an address, if exactly one has."""
        holders = self._holders.get(address, [])
        return holders[0] if len(holders) == 1 else None

    # addresses and sites

    def _settle(self, host: Host, addresses: list[str], behind: Nat | None, site: int) -> None:
        for address in addresses:
            if behind is not None and behind.behaviour.nat64 and not is_v6(address):
                raise BadTopology("behind a NAT64 box there is IPv6 alone")
            owner: Place = host
            for space, box in self._levels(address, behind):
                space.claim(address, owner)
                if box is not None:
                    owner = box
            self._holders.setdefault(address, []).append(host)
        host.settle(addresses, behind, self._firewall_of(behind), site)

    def _release(self, host: Host) -> None:
        for address in host.addresses:
            for space, _ in self._levels(address, host.behind):
                space.release(address)
            self._holders[address].remove(host)
            if not self._holders[address]:
                del self._holders[address]

    def _levels(self, address: str, behind: Nat | None) -> Iterator[tuple[Space, Box | None]]:
        """Where a host's address is known, and the box between there and the next such space.

        An IPv4 address is known inside its box alone; an IPv6 one everywhere, through firewalls.
        """
        if not is_v6(address):
            yield self._space_behind(behind), None
            return
        box: Box | None = self._firewall_of(behind)
        while box is not None:
            yield box.inside, box
            box = box.behind
        yield self.carrier.public, None

    def _firewall_of(self, behind: Nat | None) -> Firewall | None:
        """What IPv6 packets of hosts behind a box go through: its firewall, or one further out."""
        box: Box | None = behind
        while isinstance(box, Nat):
            if box in self._firewalls:
                return self._firewalls[box]
            box = box.behind
        return None

    def _space_behind(self, box: Nat | None) -> Space:
        return self.carrier.public if box is None else box.inside

    def _new_address(self, behind: Nat | None) -> str:
        return self._pool.global_v4() if behind is None else behind.new_member()

    def _site_for(self, site: int | None, behind: Nat | None) -> int:
        """The site asked for, else the box's, else the next in turn."""
        if site is not None:
            return site % self._sites
        if behind is not None:
            return behind.site
        self._last_site = (self._last_site + 1) % self._sites
        return self._last_site


def _checked(address: str) -> str:
    literal = spelled(address)
    if literal is None:
        raise BadTopology(f"{address!r} is not an IP address")
    return literal
