"""What a network really does, in the terms of RFC 4787, asked of two machines outside of it.

It uses sockets of its own and nothing of the product.
"""

import contextlib
import itertools
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import miniupnpc

from scripts.lab.kinds import MAPPING_S, Filtering, Hairpin, Ipv6, Kind, Mapping, Twosome
from scripts.lab.net.spaces import Space
from scripts.lab.net.topology import Host

_PATIENCE_S = 0.25
_TRIES = 3
_SLACK_S = 3.0
_STEP_MAX = 8
_PROBE_PORT = 6001
_UPNP_PORT = 6500
_UPNP_OPENS = "UPnP opens a port"
_ANY = {4: "0.0.0.0", 6: "::"}  # noqa: S104 (in a namespace of its own)

Endpoint = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Server:
    """A machine on the internet with the addresses that probes use."""

    space: Space
    v4: str
    v6: str

    def udp(self, family: int) -> socket.socket:
        """A socket of its own there."""
        return self.space.udp(self.v6 if family == 6 else self.v4)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What was found for one family; `mapping` is None if nothing came out at all."""

    mapping: Mapping | None
    filtering: Filtering | None = None
    keeps_port: bool | None = None
    early_punch: str | None = None
    """`harmless`, or `poisons` if a packet that comes first makes the router map another port."""


class Probe:
    """Asks about one host through two servers."""

    def __init__(self, host: Host, servers: tuple[Server, Server], family: int) -> None:
        self._host = host
        self._servers = servers
        self._family = family
        # Two hosts behind one router must not ask for the same ports there.
        self._port = _PROBE_PORT + 100 * host.name.endswith(".b")

    def behaviour(self) -> Behaviour:
        """Mapping, filtering, kept ports, and what an early packet does."""
        mapped = self._mapped_ports()
        if not mapped:
            return Behaviour(None)
        own, ports = mapped
        keeps = all(port == own for port in ports)
        mapping = mapping_of(ports)
        early = self._early_punch() if keeps else None
        return Behaviour(mapping, self._filtering(), keeps, early)

    def _own(self) -> socket.socket:
        self._port += 1
        return self._host.space.udp(_ANY[self._family], self._port)

    def _mapped_ports(self) -> tuple[int, list[int]] | None:
        with self._own() as own, self._outside(0, 0, 1, 1) as servers:
            ports = []
            for server in servers:
                seen = _seen(own, server)
                if seen is None:
                    return None
                ports.append(seen[1])
            return own.getsockname()[1], ports

    def _filtering(self) -> Filtering:
        with self._own() as own, self._outside(0, 0, 1) as (known, same_host, other_host):
            seen = _seen(own, known)
            if seen is None:
                return Filtering.ADDRESS_AND_PORT
            same_host.sendto(b"port", seen)
            other_host.sendto(b"address", seen)
            heard = {data for data, _ in _received(own)}
        if b"address" in heard:
            return Filtering.ENDPOINT_INDEPENDENT
        return Filtering.ADDRESS if b"port" in heard else Filtering.ADDRESS_AND_PORT

    def _early_punch(self) -> str:
        """What becomes of a mapping when the other side's first packet came before ours."""
        external = self._host.v6 if self._family == 6 else self._host.external
        assert external is not None
        with self._own() as own, self._outside(0) as (server,):
            port = own.getsockname()[1]
            server.sendto(b"early", (external, port))
            _received(own)  # so that it is there first
            seen = _seen(own, server)
        return "harmless" if seen is not None and seen[1] == port else "poisons"

    @contextlib.contextmanager
    def _outside(self, *which: int) -> Iterator[list[socket.socket]]:
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(self._servers[one].udp(self._family)) for one in which]


def mapping_of(ports: list[int]) -> Mapping:
    """What ports seen by several endpoints in turn tell."""
    if len(set(ports)) == 1:
        return Mapping.ENDPOINT_INDEPENDENT
    steps = [later - earlier for earlier, later in itertools.pairwise(ports)]
    small = all(0 < step <= _STEP_MAX for step in steps)
    return Mapping.SEQUENTIAL if small else Mapping.RANDOM


def hairpin(first: Host, second: Host, server: Server) -> Hairpin:
    """Whether the first of two hosts behind one router reaches the second by its outer address."""
    near, far = first.space.udp(_ANY[4], 7001), second.space.udp(_ANY[4], 7002)
    with near, far, server.udp(4) as outside:
        _seen(near, outside)
        seen = _seen(far, outside)
        if seen is None:
            return Hairpin.NONE
        near.sendto(b"hairpin", seen)
        for data, source in _received(far):
            if data == b"hairpin":
                return Hairpin.INNER if source[0] == first.v4 else Hairpin.OUTER
    return Hairpin.NONE


def lifetimes(hosts: list[tuple[str, Host, int]], server: Server) -> dict[str, tuple[bool, bool]]:
    """For each of (name, host, family): whether an unused mapping lives just under, and just over,
    the time that it should. All at once, so it takes little more than that time.
    """
    with contextlib.ExitStack() as stack:
        waiting = []
        for name, host, family in hosts:
            pair = []
            for port in (7101, 7102):
                own = stack.enter_context(host.space.udp(_ANY[family], port))
                outside = stack.enter_context(server.udp(family))
                pair.append((own, outside, _seen(own, outside)))
            waiting.append((name, pair))
        begun = time.monotonic()
        found = {}
        for turn, after in enumerate((MAPPING_S - _SLACK_S, MAPPING_S + _SLACK_S)):
            time.sleep(max(0.0, begun + after - time.monotonic()))
            for _, pair in waiting:
                _own, outside, seen = pair[turn]
                if seen is not None:
                    outside.sendto(b"late", seen)
            for name, pair in waiting:
                found[name, turn] = bool(_received(pair[turn][0], 0.05))
    return {name: (found[name, 0], found[name, 1]) for name, _ in waiting}


def _seen(own: socket.socket, server: socket.socket) -> Endpoint | None:
    """The endpoint that a server sees, if its answer comes back as well."""
    for _ in range(_TRIES):
        own.sendto(b"ask", server.getsockname()[:2])
        for data, source in _received(server, until=b"ask"):
            if data == b"ask":
                server.sendto(b"answer", source)
                return source if _received(own, until=b"answer") else None
    return None


def _received(
    taken: socket.socket, patience_s: float = _PATIENCE_S, until: bytes | None = None
) -> list[tuple[bytes, Endpoint]]:
    """What comes within the time, or up to a datagram that was waited for."""
    found: list[tuple[bytes, Endpoint]] = []
    deadline = time.monotonic() + patience_s
    while (left := deadline - time.monotonic()) > 0:
        taken.settimeout(left)
        try:
            data, source = taken.recvfrom(2048)
        except TimeoutError:
            break
        found.append((data, (source[0], source[1])))
        if data == until:
            break
    return found


def upnp(host: Host, server: Server) -> str:
    """Whether a port that the router is asked to open takes what comes from outside."""
    asking = miniupnpc.UPnP()
    asking.discoverdelay = 500

    def ask() -> str:
        for _ in range(_TRIES):
            if asking.discover():
                break
        asking.selectigd()
        asking.addportmapping(_UPNP_PORT, "UDP", host.v4, _UPNP_PORT, "probe", "")
        external: str = asking.externalipaddress()
        return external

    with host.space.udp(_ANY[4], _UPNP_PORT) as own, server.udp(4) as outside:
        try:
            external = host.space.within(ask)
        except Exception as failure:  # noqa: BLE001 (miniupnpc raises nothing narrower)
            return f"no UPnP: {failure}"
        outside.sendto(b"unasked", (external, _UPNP_PORT))
        passed = any(data == b"unasked" for data, _ in _received(own))
        host.space.within(lambda: asking.deleteportmapping(_UPNP_PORT, "UDP"))
    return _UPNP_OPENS if passed else f"UPnP maps {external}:{_UPNP_PORT}, but nothing passes"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the probe's table: what was expected, what was found."""

    site: str
    family: str
    expected: str
    found: str

    @property
    def right(self) -> bool:
        """Whether the network behaves as its name says."""
        return self.expected == self.found


def expected(kind: Kind, family: int) -> Behaviour:
    """What a host in a network of this kind must find."""
    if kind.blocked:
        return Behaviour(None)
    if family == 6:
        strict = Filtering.ADDRESS_AND_PORT
        loose = Filtering.ENDPOINT_INDEPENDENT
        filtering = loose if kind.ipv6 is Ipv6.OPEN else strict
        return Behaviour(Mapping.ENDPOINT_INDEPENDENT, filtering, True, "harmless")
    keeps = kind.mapping is Mapping.ENDPOINT_INDEPENDENT
    safe = all(nat.drops_input for nat in kind.nats)
    early = ("harmless" if safe else "poisons") if keeps else None
    return Behaviour(kind.mapping, kind.filtering, keeps, early)


def described(behaviour: Behaviour) -> str:
    """A behaviour in words."""
    if behaviour.mapping is None:
        return "nothing passes"
    filtering = behaviour.filtering.value if behaviour.filtering else "unknown"
    keeps = "keeps ports" if behaviour.keeps_port else "changes ports"
    early = f", early punch {behaviour.early_punch}" if behaviour.early_punch else ""
    return f"{behaviour.mapping.value} mapping, {filtering} filtering, {keeps}{early}"


def check(kind: Kind, host: Host, servers: tuple[Server, Server]) -> list[Finding]:
    """Each family of a host, against its kind."""
    findings = []
    if kind.maps_by_upnp:
        findings.append(Finding(host.name, "UPnP", _UPNP_OPENS, upnp(host, servers[0])))
    families = [4] if host.v4 else []
    families += [6] if host.v6 else []
    return findings + [
        Finding(
            host.name,
            f"IPv{family}",
            described(expected(kind, family)),
            described(Probe(host, servers, family).behaviour()),
        )
        for family in families
    ]


def check_hairpin(two: Twosome, ends: tuple[Host, Host], server: Server) -> Finding:
    """Hairpinning between two hosts of one router, or of one carrier."""
    found = hairpin(*ends, server)
    return Finding(two.name, "IPv4", f"hairpin {two.nat.hairpin.value}", f"hairpin {found.value}")


def check_lifetimes(hosts: list[tuple[Host, int]], server: Server) -> list[Finding]:
    """How long mappings live, for each of (host, family)."""
    found = lifetimes([(f"{host.name} {family}", host, family) for host, family in hosts], server)
    return [
        Finding(host.name, f"IPv{family}", _lasting(True, False), _lasting(*found[key]))
        for host, family in hosts
        for key in [f"{host.name} {family}"]
    ]


def _lasting(under: bool, over: bool) -> str:
    words = "lives" if under else "is gone"
    later = "lives" if over else "is gone"
    before, after = MAPPING_S - _SLACK_S, MAPPING_S + _SLACK_S
    return f"unused mapping {words} after {before:.0f} s, {later} after {after:.0f} s"
