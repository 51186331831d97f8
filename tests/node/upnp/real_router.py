"""A router with miniupnpd, a node's machine behind it, and one outside: three network namespaces.

`python -m tests.node.upnp.real_router MODE` is the router, in a namespace that `unshare --net`
made, and prints as JSON what the node was told and which ports let a connection in. Modes:
`all` (the router lets every port be mapped), `usual` (those from 1024 on, as routers are shipped),
`machine` and `program` (443 is forwarded to another machine, or to another program of this one).
The namespaces go when their processes do.
"""

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import miniupnpc

from node.overlay.reachability.forwarding import PortForwarding
from node.upnp.router import MappedProtocol, find_router
from protocol.addresses import Address
from protocol.limits import STREAM_PORT
from scripts.lab.kinds import Nat
from scripts.lab.net import rules
from tests.node.links.link_network import until

PORT = 4001
OTHER_PORT = 8443
OUTSIDE, CLIENT = "5.0.1.1", "5.0.1.2"
ROUTER, HERE, OTHER = "192.168.77.1", "192.168.77.2", "192.168.77.3"
_CONNECT_S = 2.0


def ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True)


def address(device: str, *hosts: str) -> None:
    for host in hosts:
        ip("addr", "add", f"{host}/24", "dev", device)
    ip("link", "set", device, "up")
    ip("link", "set", "lo", "up")


class Machine:
    """A process in a namespace of its own, on a cable to the router; it answers line by line."""

    def __init__(self, role: str, device: str, *words: str) -> None:
        python = (sys.executable, "-m", "tests.node.upnp.real_router", role, *words)
        self._process = subprocess.Popen(
            ("unshare", "--net", *python), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.read()  # it is in its namespace
        pid = str(self._process.pid)
        ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", pid)

    def read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def ask(self, *words: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return self.read()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def asked() -> list[Any]:
    return cast("list[Any]", json.loads(sys.stdin.readline()))


# The machines -----------------------------------------------------------------------------------


def outside() -> None:
    """Say what a connection to each port hears first; nothing where there is none."""
    say("ready")
    asked()
    address("eth0", CLIENT)
    say("up")
    while True:
        heard = {}
        for port in asked():
            try:
                with socket.create_connection((OUTSIDE, port), _CONNECT_S) as made:
                    heard[port] = made.recv(100).decode()
            except OSError:
                heard[port] = ""
        say(heard)


def serve(host: str, port: int, says: bytes) -> asyncio.Task[Any]:
    async def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        writer.close()

    return asyncio.ensure_future(asyncio.start_server(accepted, host, port))


async def node(mode: str) -> None:
    """Have the ports forwarded; say what was told, then remove them when asked."""
    say("ready")
    asked()
    address("eth0", HERE, OTHER)
    ip("route", "add", "default", "via", ROUTER)
    say("up")
    asked()
    where = {"machine": (OTHER, 80), "program": (HERE, OTHER_PORT)}.get(mode)
    await serve(HERE, PORT, b"node")
    await serve(HERE, OTHER_PORT, b"program")
    await serve(OTHER, 80, b"machine")
    if where is not None:
        found = miniupnpc.UPnP()
        found.discover()
        found.selectigd()
        found.addportmapping(STREAM_PORT, "TCP", *where, "another's", "")
    told: asyncio.Queue[Address | None] = asyncio.Queue()
    forwarding = PortForwarding(
        find_router, random.Random(1), is_global=lambda _: True, forwards=told.put_nowait
    )
    forwarding.forward_streams(lambda port: port == PORT)
    running = asyncio.ensure_future(forwarding.run(PORT))
    address_told = await told.get()
    streams = forwarding.streams
    await until(lambda: len(streams.forwarded) + len(streams.refusals) == 2)
    say([address_told, streams.forwarded, streams.refusals])
    await asyncio.to_thread(asked)  # connections come in meanwhile
    running.cancel()
    await asyncio.wait({running})
    await forwarding.remove()
    router = await find_router()
    assert router is not None
    left = {one: await router.mapped(one, PORT) for one in MappedProtocol}
    await router.close()
    say(left)
    await asyncio.to_thread(asked)  # what is others' goes on being served


# The router -------------------------------------------------------------------------------------


def router(mode: str) -> dict[str, Any]:
    inside, far = Machine("node", "lan", mode), Machine("outside", "wan")
    address("lan", ROUTER)
    address("wan", OUTSIDE)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    for machine in (inside, far):
        machine.ask()
    subprocess.run(
        ("nft", "-f", "-"), input=rules.router(Nat(upnp=True), OUTSIDE), text=True, check=True
    )
    with tempfile.TemporaryDirectory() as folder:
        daemon = miniupnpd(Path(folder), mode)
        try:
            told, forwarded, refusals = inside.ask("go on")
            came = far.ask(PORT, STREAM_PORT)
            left = inside.ask("remove")
            gone = far.ask(PORT, STREAM_PORT)
        finally:
            for machine in (inside, far):
                machine.end()
            daemon.kill()
            daemon.communicate()
    return {
        "told": told,
        "forwarded": forwarded,
        "refusals": refusals,
        "came": came,
        "left": left,
        "gone": gone,
    }


def miniupnpd(folder: Path, mode: str) -> "subprocess.Popen[str]":
    """One that answers; it forwards for other machines than the one that asks in mode `machine`."""
    config = rules.upnp_config()
    if mode != "usual":
        every = "allow 1-65535 192.168.0.0/16 1-65535"
        config = config.replace("allow 1024-65535 192.168.0.0/16 1024-65535", every)
    (folder / "conf").write_text(config.replace("secure_mode=yes", "secure_mode=no"))
    words = ("miniupnpd", "-d", "-f", str(folder / "conf"), "-P", str(folder / "pid"))
    started = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert started.stderr is not None
    for line in started.stderr:
        if "HTTP listening on port" in line:
            return started
    raise AssertionError("miniupnpd does not start")


if __name__ == "__main__":
    if sys.argv[1] == "outside":
        outside()
    elif sys.argv[1] == "node":
        asyncio.run(node(sys.argv[2]))
    else:
        say(router(sys.argv[1]))
    os._exit(0)
