"""The simulated internet's names: no question ever reaches a real resolver."""

import socket

from simulations.internet.addresses import (
    LOOPBACK_V4,
    LOOPBACK_V6,
    is_v6,
    spelled,
    synthesised_v6,
)
from simulations.internet.host import Host
from simulations.runtime.sleeping import current_host

LOCALHOST = "localhost"
IPV4_ONLY = "ipv4only.arpa"
"""RFC 7050: a name without IPv6 addresses; a resolver that gives one has NAT64's prefix in it."""
IPV4_ONLY_ADDRESSES = ("192.0.0.170", "192.0.0.171")


class Names:
    """Names and the addresses they stand for."""

    def __init__(self) -> None:
        self._addresses: dict[str, list[str]] = {
            LOCALHOST: [LOOPBACK_V4, LOOPBACK_V6],
            IPV4_ONLY: list(IPV4_ONLY_ADDRESSES),
        }
        self._names: dict[str, str] = {}

    def add(self, name: str, *addresses: str) -> None:
        """Let a name stand for addresses; a second call replaces the first."""
        self._addresses[name.lower()] = list(addresses)
        for address in addresses:
            self._names[address] = name

    def resolve(self, name: str, family: int) -> list[tuple[int, str]]:
        """(family, address) of a name or literal, in their order; socket.gaierror if none fits.

        `family` is 0 for any. On hosts behind a NAT64 box, names that have IPv4 addresses alone get
        IPv6 ones too (DNS64, RFC 6147).
        """
        literal = spelled(name)
        known = [literal] if literal is not None else self._known(name.lower())
        found = [(int(socket.AF_INET6 if is_v6(ip) else socket.AF_INET), ip) for ip in known]
        fitting = [(its_family, ip) for its_family, ip in found if family in (0, its_family)]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not fitting:
            raise socket.gaierror(socket.EAI_FAMILY, "Address family for hostname not supported")
        return fitting

    def _known(self, name: str) -> list[str]:
        known = self._addresses.get(name, [])
        here = current_host.get()
        translated = isinstance(here, Host) and here.is_behind_nat64
        if translated and name != LOCALHOST and not any(is_v6(ip) for ip in known):
            return [*(synthesised_v6(ip) for ip in known), *known]
        return known

    def name_of(self, address: str) -> str | None:
        """The name that was last given to an address."""
        return self._names.get(address)
