"""The internet of the lab: a core that routes, sites around it, hosts in the sites."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.lab.kinds import MAPPING_S, Ipv6, Kind, Nat, Twosome
from scripts.lab.net import delay, lines, rules, spaces
from scripts.lab.net.addresses import Prefixes
from scripts.lab.net.spaces import Space

PORT = 4001
LAN = "lan"
MOBILE = "mobile"


@dataclass(frozen=True, slots=True)
class Host:
    """A machine with a node: its own addresses, and the address others see, if it has one."""

    name: str
    space: Space
    v4: str | None
    v6: str | None
    external: str | None
    port: int = PORT
    routers: tuple[Space, ...] = ()

    @property
    def listen(self) -> tuple[str, ...]:
        """The values of `--listen`; none where the node's own choice will do."""
        return () if self.port == PORT else (f"0.0.0.0:{self.port}",)


@dataclass(frozen=True, slots=True)
class Wan:
    """What is outside of a router: a carrier's bridge or a core, and the addresses there."""

    core: Space
    prefixes: Prefixes
    v4: str | None
    gateway_v4: str
    ipv6: bool = False
    carrier: Space | None = None
    port: str = "home"


@dataclass(slots=True)
class Internet:
    """Make it by `internet`, then build sites; every namespace is removed at the end."""

    folder: Path
    cores: tuple[Space, Space]
    """West and east: far from each other, as the delay between them says."""
    spaces: list[Space] = field(default_factory=list)
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)
    sites: int = 0
    uplinks: dict[str, tuple[tuple[Space, str], ...]] = field(default_factory=dict)
    """Both ends of the cable of each site, by the name of its outermost space."""

    def site(self, kind: Kind, name: str, *, east: bool) -> Host:
        """A host in a network of this kind."""
        prefixes, core = self._next(), self.cores[east]
        if not kind.nats and kind.ipv6 is not Ipv6.FIREWALL:
            return self._public(kind, name, prefixes, core)
        host = self._routed(kind, name, self._space(name), prefixes, core, LAN)
        plug(host, LAN)
        return host

    def second_network(self, kind: Kind, host: Host, *, east: bool) -> Host:
        """Another network for a host, as a mobile one beside its Wi-Fi, by the device MOBILE; see
        `move`.
        """
        name, prefixes, core = f"{host.name}-m", self._next(), self.cores[east]
        return self._routed(kind, name, host.space, prefixes, core, MOBILE)

    def _routed(
        self, kind: Kind, name: str, space: Space, prefixes: Prefixes, core: Space, device: str
    ) -> Host:
        """The routers of a network of this kind, and a machine's device there, not set up yet."""
        ipv6 = kind.ipv6 is not Ipv6.NONE
        external = prefixes.site_v4 if kind.ipv4 else None
        wan = Wan(core, prefixes, external, prefixes.core_v4, ipv6)
        *carriers, home = reversed(kind.nats or (Nat(),))
        routers: list[Space] = []
        for nat in carriers:
            routers.append(self._router(f"{name}-c", nat, wan, _carried(prefixes, 1)))
            inner, gateway = _carried(prefixes, 2), _carried(prefixes, 1)
            wan = Wan(core, prefixes, inner, gateway, carrier=routers[-1])
        routers.append(self._router(f"{name}-r", home, wan, _home(prefixes, 1)))
        v4 = _home(prefixes, 2) if kind.ipv4 else None
        v6 = prefixes.inner_v6(2) if ipv6 else None
        _attach(space, routers[-1], "host", device=device)
        return Host(name, space, v4, v6, external, routers=tuple(reversed(routers)))

    def shape(self, host: Host, bytes_s: int) -> None:
        """Let the line of a host's site carry so much each way, and no more."""
        outermost = host.routers[-1] if host.routers else host.space
        for space, device in self.uplinks[outermost.name]:
            lines.shape(space, device, bytes_s)

    def twosome(self, two: Twosome) -> tuple[Host, Host]:
        """Two hosts that are near one another."""
        if two.twin:
            return self._twin(two, "a", 2, 3), self._twin(two, "b", 3, 2)
        prefixes = self._next()
        inner = _carried(prefixes, 1) if two.carrier else _home(prefixes, 1)
        wan = Wan(self.cores[0], prefixes, prefixes.site_v4, prefixes.core_v4)
        router = self._router(f"{two.name}-r", two.nat, wan, inner)
        build = self._subscriber if two.carrier else self._neighbour
        return build(two, "a", 2, router, prefixes), build(two, "b", 3, router, prefixes)

    def _public(self, kind: Kind, name: str, prefixes: Prefixes, core: Space) -> Host:
        host = self._space(name)
        self._uplink(host, prefixes, core)
        v6 = prefixes.site_v6 if kind.ipv6 is Ipv6.OPEN else None
        _address(host, prefixes.site_v4, v6, device="wan")
        _route(host, prefixes.core_v4, prefixes.core_v6 if v6 else None)
        return Host(name, host, prefixes.site_v4, v6, prefixes.site_v4)

    def _subscriber(
        self, two: Twosome, end: str, last: int, carrier: Space, prefixes: Prefixes
    ) -> Host:
        """One of two homes behind a carrier."""
        name, inner = f"{two.name}.{end}", f"192.168.{last}"
        own, gateway = _carried(prefixes, last), _carried(prefixes, 1)
        wan = Wan(self.cores[0], prefixes, own, gateway, carrier=carrier, port=f"home{end}")
        home = self._router(f"{name}-r", Nat(), wan, f"{inner}.1")
        host = self._behind(home, name, f"{inner}.2", f"{inner}.1")
        return Host(name, host, f"{inner}.2", None, prefixes.site_v4, routers=(home, carrier))

    def _neighbour(
        self, two: Twosome, end: str, last: int, router: Space, prefixes: Prefixes
    ) -> Host:
        """One of two hosts behind a router; with ports of their own, so that both are kept."""
        name, v4 = f"{two.name}.{end}", _home(prefixes, last)
        host = self._behind(
            router, name, v4, _home(prefixes, 1), f"host{end}", isolated=two.isolated
        )
        return Host(name, host, v4, None, prefixes.site_v4, PORT + last - 2, (router,))

    def _twin(self, two: Twosome, end: str, last: int, impostor: int) -> Host:
        """A home with an impostor in it that has the other home's inner address."""
        prefixes, name = self._next(), f"{two.name}.{end}"
        wan = Wan(self.cores[end == "b"], prefixes, prefixes.site_v4, prefixes.core_v4)
        router = self._router(f"{name}-r", two.nat, wan, _twin(1))
        host = self._behind(router, name, _twin(last), _twin(1))
        space = self._behind(router, f"{name}-x", _twin(impostor), _twin(1), "impostor")
        words = ("-P", "-m", "scripts.lab.net.impostor", str(PORT))
        self.daemon(space, (sys.executable, *words))
        return Host(name, host, _twin(last), None, prefixes.site_v4, routers=(router,))

    def _behind(
        self,
        router: Space,
        name: str,
        v4: str,
        gateway: str,
        port: str = "host",
        *,
        isolated: bool = False,
    ) -> Space:
        """A machine on a router's bridge."""
        space = self._space(name)
        _attach(space, router, port, isolated=isolated)
        _address(space, v4, None)
        _route(space, gateway, None)
        return space

    def _router(self, name: str, nat: Nat, wan: Wan, inner: str) -> Space:
        """A router with a new bridge `lan`, its rules, and its time limits."""
        space, prefixes = self._space(name), wan.prefixes
        if wan.carrier is None:
            self._uplink(space, prefixes, wan.core)
        else:
            _attach(space, wan.carrier, wan.port, device="wan")
        space.ip("link", "add", "lan", "type", "bridge")
        _address(space, wan.v4, prefixes.site_v6 if wan.ipv6 else None, device="wan")
        _address(space, inner if wan.v4 else None, prefixes.inner_v6(1) if wan.ipv6 else None)
        _route(space, wan.gateway_v4 if wan.v4 else None, prefixes.core_v6 if wan.ipv6 else None)
        if wan.ipv6:
            net = prefixes.inner_v6_net
            wan.core.ip("-6", "route", "add", net, "via", prefixes.site_v6)
        _forward(space)
        for limit in ("udp_timeout", "udp_timeout_stream"):
            space.set(f"netfilter/nf_conntrack_{limit}", MAPPING_S)
        space.rules(rules.router(nat, wan.v4, ipv6=wan.ipv6))
        if nat.upnp:
            self._upnp(space)
        return space

    def _upnp(self, space: Space) -> None:
        config = self.folder / f"{space.name}.conf"
        config.write_text(rules.upnp_config())
        words = ("miniupnpd", "-d", "-f", str(config), "-P", str(config.with_suffix(".pid")))
        self.daemon(space, words)

    def daemon(self, space: Space, words: Sequence[str]) -> None:
        """Run a program in a namespace until the lab ends; what it says goes to a file."""
        with (self.folder / f"{space.name}-{Path(words[0]).name}.log").open("wb") as log:
            started = space.within(lambda: subprocess.Popen(words, stdout=log, stderr=log))
        self.daemons.append(started)

    def _uplink(self, space: Space, prefixes: Prefixes, core: Space) -> None:
        """A cable from a core to a site, and the way to it from the other core."""
        device = f"site{prefixes.number}"
        core.ip(
            *("link", "add", device, "type", "veth"),
            *("peer", "name", "wan", "netns", space.name),
        )
        self.uplinks[space.name] = ((space, "wan"), (core, device))
        _address(core, prefixes.core_v4, prefixes.core_v6, device=device)
        (other,) = (one for one in self.cores if one is not core)
        other.ip("route", "add", prefixes.v4_net, "dev", delay.DEVICE)
        other.ip("-6", "route", "add", prefixes.v6_net, "dev", delay.DEVICE)

    def _space(self, name: str) -> Space:
        space = Space(name)
        self.spaces.append(space)
        return space

    def _next(self) -> Prefixes:
        self.sites += 1
        return Prefixes(self.sites - 1)


def plug(host: Host, device: str) -> None:
    """Give a host's device its addresses, and set it up: all goes by its router from now on."""
    _address(host.space, host.v4, host.v6, device=device)
    v4 = host.v4.rpartition(".")[0] + ".1" if host.v4 else None
    v6 = host.v6.rpartition(":")[0] + ":1" if host.v6 else None
    _route(host.space, v4, v6)


def move(host: Host, mobile: Host) -> None:
    """Let a host leave its first network, with its addresses, and come to the second."""
    host.space.ip("addr", "flush", "dev", LAN)
    host.space.ip("link", "set", LAN, "down")
    plug(mobile, MOBILE)


@contextlib.contextmanager
def internet(delay_ms: float) -> Iterator[Internet]:
    """An empty internet of two halves; removes everything at the end, however that comes."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(spaces.folder())
        west, east = Space("west"), Space("east")
        made = Internet(folder, (west, east), [west, east])
        stack.callback(_remove, made)
        for core in made.cores:
            _forward(core)
        made.daemons.append(_start_delay(west, east, delay_ms))
        yield made


def _remove(made: Internet) -> None:
    for daemon in made.daemons:
        daemon.kill()
        daemon.wait()
    for space in made.spaces:
        space.close()


def _start_delay(west: Space, east: Space, delay_ms: float) -> "subprocess.Popen[bytes]":
    """Start what stands between the halves, and set up its device in each."""
    words = ("scripts.lab.net.delay", west.name, east.name, str(delay_ms))
    started = subprocess.Popen((sys.executable, "-P", "-m", *words), stdout=subprocess.PIPE)
    assert started.stdout is not None
    started.stdout.readline()
    for core in (west, east):
        core.ip("link", "set", delay.DEVICE, "up")
    return started


def _home(prefixes: Prefixes, last: int) -> str:
    return f"192.168.{10 + prefixes.number}.{last}"


def _carried(prefixes: Prefixes, last: int) -> str:
    return f"100.64.{prefixes.number}.{last}"


def _twin(last: int) -> str:
    return f"192.168.1.{last}"


def _attach(
    space: Space, router: Space, port: str, *, device: str = "lan", isolated: bool = False
) -> None:
    """A cable from a router's bridge to what is behind it."""
    router.ip(
        *("link", "add", port, "type", "veth"),
        *("peer", "name", device, "netns", space.name),
    )
    router.ip("link", "set", port, "master", "lan", "up")
    if isolated:
        router.ip("link", "set", port, "type", "bridge_slave", "isolated", "on")


def _address(space: Space, v4: str | None, v6: str | None, *, device: str = "lan") -> None:
    """Give a device addresses and set it up."""
    if v4:
        space.ip("addr", "add", f"{v4}/24", "dev", device)
    if v6:
        space.ip("addr", "add", f"{v6}/64", "dev", device, "nodad")
    space.ip("link", "set", device, "up")


def _route(space: Space, v4: str | None, v6: str | None) -> None:
    """Set the ways out."""
    if v4:
        space.ip("route", "add", "default", "via", v4)
    if v6:
        space.ip("-6", "route", "add", "default", "via", v6)


def _forward(space: Space) -> None:
    space.set("ipv4/ip_forward", 1)
    space.set("ipv6/conf/all/forwarding", 1)
    # Else bridged packets would be translated as well.
    space.set("bridge/bridge-nf-call-iptables", 0)
    space.set("bridge/bridge-nf-call-ip6tables", 0)
