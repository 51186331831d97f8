"""The simulated internet's names: no question ever reaches a real resolver."""

import socket

from simulations.internet.addresses import LOOPBACK_V4, LOOPBACK_V6, is_v6, spelled

LOCALHOST = "localhost"


class Names:
    """Names and the addresses they stand for."""

    def __init__(self) -> None:
        self._addresses: dict[str, list[str]] = {LOCALHOST: [LOOPBACK_V4, LOOPBACK_V6]}
        self._names: dict[str, str] = {}

    def add(self, name: str, *addresses: str) -> None:
        """Let a name stand for addresses; a second call replaces the first."""
        self._addresses[name.lower()] = list(addresses)
        for address in addresses:
            self._names[address] = name

    def resolve(self, name: str, family: int) -> list[tuple[int, str]]:
        """(family, address) of a name or literal, in their order; socket.gaierror if none fits.

        `family` is 0 for any.
        """
        literal = spelled(name)
        known = [literal] if literal is not None else self._addresses.get(name.lower(), [])
        found = [(int(socket.AF_INET6 if is_v6(ip) else socket.AF_INET), ip) for ip in known]
        fitting = [(its_family, ip) for its_family, ip in found if family in (0, its_family)]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not fitting:
            raise socket.gaierror(socket.EAI_FAMILY, "Address family for hostname not supported")
        return fitting

    def name_of(self, address: str) -> str | None:
        """The name that was last given to an address."""
        return self._names.get(address)
