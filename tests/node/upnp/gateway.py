"""A gateway that answers UPnP discovery, in a network namespace that has nothing but loopback.

`python -m tests.node.upnp.gateway MODE` prints as JSON what the node makes of it. `honest` answers
as a router does; `odd` too, but with nonsense where it is asked about TCP; `trickle` sends its
description a byte now and then, for ever; `huge` sends it without end. The namespace is made by
`unshare --net`.
"""

import asyncio
import json
import os
import resource
import select
import socket
import subprocess
import sys
import threading
from typing import Any

import psutil

from node.upnp import process
from node.upnp.router import MappedProtocol, Router, find_router
from protocol.errors import RouterRefused

HOST, PORT = "192.168.77.1", 5000
OUTSIDE = "5.0.1.1"
LIMIT_S = 2.0

_TYPE = "urn:schemas-upnp-org:service:WANIPConnection:1"
_DEVICE = "<device><deviceType>urn:schemas-upnp-org:device:{}:1</deviceType>{}</device>"
_SERVICE = (
    f"<serviceList><service><serviceType>{_TYPE}</serviceType><serviceId>x</serviceId>"
    "<controlURL>/c</controlURL><eventSubURL>/e</eventSubURL><SCPDURL>/s</SCPDURL></service>"
    "</serviceList>"
)
_DESCRIPTION = (
    '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">{}</root>'.format(
        _DEVICE.format(
            "InternetGatewayDevice",
            "<deviceList>{}</deviceList>".format(
                _DEVICE.format(
                    "WANDevice",
                    f"<deviceList>{_DEVICE.format('WANConnectionDevice', _SERVICE)}</deviceList>",
                )
            ),
        )
    )
)
_ANSWERS = {
    "GetExternalIPAddress": f"<NewExternalIPAddress>{OUTSIDE}</NewExternalIPAddress>",
    "GetStatusInfo": "<NewConnectionStatus>Connected</NewConnectionStatus>"
    "<NewLastConnectionError></NewLastConnectionError><NewUptime>1</NewUptime>",
    "GetSpecificPortMappingEntry": "<NewInternalPort>4001</NewInternalPort><NewInternalClient>"
    f"{HOST}</NewInternalClient><NewEnabled>1</NewEnabled><NewPortMappingDescription>m"
    "</NewPortMappingDescription><NewLeaseDuration>100</NewLeaseDuration>",
    "AddPortMapping": "",
    "DeletePortMapping": "",
}


def answer_discovery(bound: socket.socket) -> None:
    while True:
        asked, asker = bound.recvfrom(2000)
        wanted = [line for line in asked.split(b"\r\n") if line.upper().startswith(b"ST:")]
        if wanted:
            found = wanted[0].partition(b":")[2].strip().decode()
            where = f"LOCATION: http://{HOST}:{PORT}/d.xml"
            told = f"HTTP/1.1 200 OK\r\nST: {found}\r\nUSN: uuid:x::{found}\r\n{where}\r\n\r\n"
            bound.sendto(told.encode(), asker)


def answer_http(connection: socket.socket, mode: str) -> None:
    asked = connection.recv(65536).decode()
    body = _DESCRIPTION
    for name, inside in _ANSWERS.items():
        if f"#{name}" in asked:
            body = (
                '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
                f'<u:{name}Response xmlns:u="{_TYPE}">{inside}</u:{name}Response></s:Body>'
                "</s:Envelope>"
            )
    if mode == "odd" and "<NewProtocol>TCP<" in asked:
        body = body.replace(">4001<", f">{'9' * 40}<").replace(f">{HOST}<", f">{'x' * 4000}\x00<")
        body = body.replace("AddPortMappingResponse", "\x1b[31m").replace("Envelope", "html")
    size = len(body) if mode in {"honest", "odd"} else 2_000_000_000
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {size}\r\n\r\n"
    connection.sendall(head.encode())
    try:
        while mode == "trickle":
            connection.sendall(b" ")
            select.select([connection], [], [], 0.1)  # until it is hung up on
        while mode == "huge":
            connection.sendall(b" " * (1 << 20))
        connection.sendall(body.encode())
    except OSError:  # it has been hung up on
        pass
    connection.close()


def serve(mode: str) -> None:
    for command in (
        ("link", "set", "lo", "up"),
        ("addr", "add", f"{HOST}/24", "dev", "lo"),
        ("route", "add", "224.0.0.0/4", "dev", "lo", "src", HOST),
    ):
        subprocess.run(("ip", *command), check=True)
    discovery = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    discovery.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    discovery.bind(("", 1900))
    group = socket.inet_aton("239.255.255.250") + socket.inet_aton(HOST)
    discovery.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    listening = socket.create_server((HOST, PORT))
    threading.Thread(target=answer_discovery, args=(discovery,), daemon=True).start()

    def accept() -> None:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=answer_http, args=(connection, mode), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


async def ask(router: Router) -> list[Any]:
    address = await router.external_address()
    found: list[Any] = [address]
    for protocol in MappedProtocol:
        try:
            await router.add_port_mapping(protocol, 4001, 4001, 3600)
            found.append(await router.mapped(protocol, 4001))
            await router.delete_port_mapping(protocol, 4001)
        except RouterRefused as error:
            found.append(str(error))
    found.append(await router.mapped(MappedProtocol.UDP, 4001))
    await router.close()
    return found


async def probe() -> dict[str, Any]:
    try:
        router = await find_router()
        found: Any = router and await ask(router)
    except RouterRefused as error:
        found = str(error)
    await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 1)
    return {
        "found": found,
        "left": len(psutil.Process().children()),
        "threads": [one.name for one in threading.enumerate() if one.name.startswith("asyncio_")],
        "child_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "own_mb": psutil.Process().memory_info().rss / 2**20,
    }


if __name__ == "__main__":
    serve(sys.argv[1])
    process.TIME_LIMIT_S = LIMIT_S  # type: ignore[misc]
    sys.stdout.write(json.dumps(asyncio.run(probe())))
    sys.stdout.flush()
    os._exit(0)
