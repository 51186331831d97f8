"""Gives aiortc and aioice a virtual clock, seeded randomness and simulated addresses.

Both libraries read the machine at a few names of a few modules. `virtual_libraries` replaces those
names, in those modules only, for as long as a simulation runs; nothing of the standard library is
touched, so the rest of the process keeps the real clock and the real randomness.

    with virtual_libraries(internet):
        run_virtually(main(), loop)

What stays random is what OpenSSL draws for keys and signatures: it decides contents and, by a byte
or two, lengths of handshake datagrams, which is why neither enters a history.
"""

import contextlib
import datetime as dt
import types
from collections.abc import Iterator
from typing import Any

import aioice.ice
import aioice.turn
import aioice.utils
import aiortc.clock
import aiortc.rtcdtlstransport
import aiortc.rtcsctptransport
import aiortc.utils
from OpenSSL import SSL

from simulations.errors import NoCurrentHost
from simulations.internet import Host, Internet
from simulations.internet.addresses import is_v6
from simulations.libraries.dtls_flights import FlightKeeper
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.sleeping import current_host
from simulations.seeds import derive_rng


class UntimedConnection(SSL.Connection):
    """A DTLS connection that never says when to repeat a flight: the keeper does that."""

    def DTLSv1_get_timeout(self) -> int | None:  # noqa: N802 - OpenSSL's name
        """None: no timer runs."""
        return None


class SimulatedMdns:
    """What aioice asks for a `.local` name: the simulated names."""

    def __init__(self, internet: Internet) -> None:
        self._internet = internet

    async def resolve(self, name: str, timeout: float | None = None) -> str | None:  # noqa: ASYNC109 - aioice's signature
        """The first address of a name, or None."""
        try:
            return self._internet.names.resolve(name, 0)[0][1]
        except OSError:
            return None


def _host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    host = current_host.get()
    if not isinstance(host, Host):
        raise NoCurrentHost("gathering candidates needs a host: run this code in host.running()")
    return [ip for ip in host.addresses if (use_ipv6 if is_v6(ip) else use_ipv4)]


def _keeping_init(original: Any) -> Any:
    def __init__(self: Any, transport: Any, certificates: Any) -> None:  # noqa: N807
        original(self, FlightKeeper(transport), certificates)

    return __init__


def _replacements(internet: Internet) -> list[tuple[Any, str, Any]]:
    """(module or class, name, what stands there during a simulation)."""
    loop: VirtualLoop = internet.loop
    rng = derive_rng(internet.seed, "aiortc and aioice")
    mdns = SimulatedMdns(internet)
    clock = types.SimpleNamespace(time=loop.wall_time)
    entropy = types.SimpleNamespace(urandom=rng.randbytes)
    secrets = types.SimpleNamespace(choice=rng.choice, randbits=rng.getrandbits)
    untimed_ssl = types.SimpleNamespace(**{**vars(SSL), "Connection": UntimedConnection})

    def virtual_now() -> dt.datetime:
        return dt.datetime.fromtimestamp(loop.wall_time(), dt.UTC)

    async def get_mdns(_subscriber: object) -> SimulatedMdns:
        return mdns

    dtls = aiortc.rtcdtlstransport
    return [
        (aioice.ice, "get_host_addresses", _host_addresses),
        (aioice.ice, "get_or_create_mdns_protocol", get_mdns),
        (aioice.ice, "random", rng),
        (aioice.ice, "secrets", secrets),
        (aioice.utils, "os", entropy),
        (aioice.utils, "secrets", secrets),
        (aioice.turn, "time", clock),
        (aiortc.utils, "os", entropy),
        (aiortc.clock, "current_datetime", virtual_now),
        (aiortc.rtcsctptransport, "os", entropy),
        (aiortc.rtcsctptransport, "time", clock),
        (dtls, "SSL", untimed_ssl),
        (dtls.RTCDtlsTransport, "__init__", _keeping_init(dtls.RTCDtlsTransport.__init__)),
    ]


@contextlib.contextmanager
def virtual_libraries(internet: Internet) -> Iterator[None]:
    """Replace what aiortc and aioice read of the machine, until the `with` block ends."""
    originals = []
    try:
        for owner, name, replacement in _replacements(internet):
            originals.append((owner, name, getattr(owner, name)))
            setattr(owner, name, replacement)
        yield
    finally:
        for owner, name, original in reversed(originals):
            setattr(owner, name, original)
