"""Opens a UDP port: our own socket where the running loop can watch it, else the loop's."""

import asyncio
import socket
from collections.abc import Callable

from node.counters import Counters
from node.net.udp.beat import Beat
from node.net.udp.kernel_port import KernelPort
from node.net.udp.loop_port import LoopPort
from node.net.udp.port import Port, PortUser

UdpSocket = Callable[[str, int], socket.socket]
"""Makes a bound, non-blocking socket for an IP literal and a port; raises OSError."""


async def open_port(
    user: PortUser,
    host: str,
    number: int,
    udp_socket: UdpSocket | None,
    counters: Counters,
    beat: Beat,
) -> Port:
    """A port on `host`, which counts what it sends; number 0 picks a free one. Raises OSError.

    While data flow it is read on the `beat`.

    Without `udp_socket` the loop makes the socket, as a simulated internet must.
    """
    loop = asyncio.get_running_loop()
    if udp_socket is None:
        _, port = await loop.create_datagram_endpoint(
            lambda: LoopPort(user, counters, beat), local_addr=(host, number)
        )
        return port
    own_socket = udp_socket(host, number)
    try:
        return KernelPort(own_socket, user, counters, beat)
    except NotImplementedError:  # Windows' proactor watches no sockets
        _, port = await loop.create_datagram_endpoint(
            lambda: LoopPort(user, counters, beat), sock=own_socket
        )
        return port
    except BaseException:
        own_socket.close()
        raise
