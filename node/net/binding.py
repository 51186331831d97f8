"""The node's UDP ports: those that were asked for, or by default one of each family there is."""

import asyncio
import errno
import logging
from collections.abc import Callable, Sequence

from node.config import DEFAULT_PORT, Config
from node.environment import Environment
from node.interfaces import WILDCARDS, families_of
from node.machine.refusals import port_refused
from node.net.endpoint import Endpoint
from node.net.nat64_use import use_nat64
from protocol.addresses import Address
from protocol.errors import BadAddress, LocalError

_DRAWS = 8
"""Ports that the system draws are seldom another's by TCP: that of a connection of this machine."""

_log = logging.getLogger(__name__)


def check_ports(config: Config, environment: Environment) -> None:
    """Raise BadAddress where a port that was asked for is taken.

    Of a simulated internet, which makes sockets its own way, nothing is asked.
    """
    if environment.udp_socket is None:
        return
    for address in config.listen_addresses() if config.listen else ():
        try:
            environment.udp_socket(*address).close()
        except OSError as error:
            raise _not_bound(address, error) from error


async def bind(
    endpoint: Endpoint, config: Config, host_addresses: Sequence[str], say: Callable[[str], None]
) -> None:
    """Open a node's sockets, with a NAT64 where it needs one. Raises BadAddress.

    `say` is told where the default port is another program's, so that a node uses another one.
    """
    is_default, families = not config.listen, families_of(host_addresses)
    others: list[int] = []
    for address in config.listen_addresses():
        if is_default and address.host in WILDCARDS and address.family not in families:
            continue
        try:
            await (endpoint.open(address) if address.port else open_drawn(endpoint, address.host))
        except OSError as error:
            if not is_default or error.errno != errno.EADDRINUSE:
                if is_default and endpoint.addresses:
                    _log.info("no UDP on %s: %s", address, error)
                    continue
                raise _not_bound(address, error) from error
            # The default port was not asked for, and another node may have it.
            others.append((await open_drawn(endpoint, address.host)).port)
    if others:
        say(
            f"UDP port {DEFAULT_PORT} is taken by another program, so this node uses "
            f"{' and '.join(map(str, others))}: what a router forwards to {DEFAULT_PORT} does "
            "not reach it. --listen HOST:PORT names a port that stays the same."
        )
    await use_nat64(endpoint, host_addresses)


async def open_drawn(endpoint: Endpoint, host: str) -> Address:
    """Open a port that the system draws, of which TCP is free as well: there streams come in.

    Raises OSError. The last of _DRAWS is kept also if it is another's by TCP.
    """
    for _ in range(_DRAWS - 1):
        bound = await endpoint.open(Address(host, 0))
        if await _is_free_by_tcp(bound):
            return bound
        endpoint.remove_port(bound)
    return await endpoint.open(Address(host, 0))


async def _is_free_by_tcp(address: Address) -> bool:
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(asyncio.Protocol, *address)
    except OSError:
        return False
    server.close()
    return True


def _not_bound(address: Address, error: OSError) -> LocalError:
    return port_refused(error, f"cannot listen on {address}", BadAddress)
