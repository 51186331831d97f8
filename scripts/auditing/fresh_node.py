"""A node that has just been started with its defaults: its open ports, and its files' modes."""

import json
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from node.faces.demo.processes import NodeProcess, make_identities, wait_until
from protocol.addresses import is_loopback
from protocol.errors import ModswarmError
from scripts.auditing.page import Section, table

TITLE = "A fresh node"

_UP_S = 60.0
_PRIVATE = {"identity.key", "certificate.pem", "control.json"}


def section(
    prepare: Callable[[Iterable[Path], Callable[[int], None]], None] = make_identities,
) -> Section:
    """Start a node in a new home, look at it from outside, end it."""
    with tempfile.TemporaryDirectory(prefix="modswarm-audit-") as place:
        folder = Path(place)
        node = NodeProcess(folder, "--upnp", "off")
        try:
            prepare([node.home], lambda _: None)
            node.start()
            wait_until(lambda: node.running() is not None, _UP_S, "starting the node")
            pid = json.loads((node.home / "control.json").read_text())["pid"]
            ports = list(_ports(psutil.Process(pid)))
            modes = list(_modes(node.home))
        except ModswarmError as error:
            return Section(TITLE, "", missing=[f"the node did not start: {error}"])
        finally:
            node.end()
    findings = [*open_to_others(ports), *too_open(modes)]
    body = "\n\n".join(
        (
            table(("protocol", "host", "port"), ports),
            table(("file", "mode"), ((name, f"{mode:04o}") for name, mode in modes)),
        )
    )
    return Section(TITLE, body, findings)


def _ports(process: psutil.Process) -> Iterable[tuple[str, str, int]]:
    """Protocol, host and port of each socket that takes what others send, of the whole family."""
    for one in (process, *process.children(recursive=True)):
        for socket in one.net_connections(kind="inet"):
            kind = {1: "TCP", 2: "UDP"}.get(socket.type, str(socket.type))
            if kind == "UDP" or socket.status == psutil.CONN_LISTEN:
                yield kind, socket.laddr.ip, socket.laddr.port


def open_to_others(ports: Iterable[tuple[str, str, int]]) -> list[str]:
    """TCP ports that other machines reach, but for that of streams, which has the number of UDP's:
    the control API has none to be reached by.
    """
    ports = list(ports)
    node_ports = {port for kind, _, port in ports if kind == "UDP"}
    return [
        f"a TCP port is open to other machines: {host} {port}"
        for kind, host, port in ports
        if kind == "TCP" and not is_loopback(host) and port not in node_ports
    ]


def _modes(home: Path) -> Iterable[tuple[str, int]]:
    yield ".", stat.S_IMODE(home.stat().st_mode)
    for path in sorted(home.rglob("*")):
        yield path.relative_to(home).as_posix(), stat.S_IMODE(path.lstat().st_mode)


def too_open(modes: Iterable[tuple[str, int]]) -> list[str]:
    """What other users of the machine may read or write and should not, by name and mode."""
    if sys.platform == "win32":
        return []
    told = []
    for name, mode in modes:
        if mode & 0o022:
            told.append(f"other users may write {name}: mode {mode:04o}")
        elif mode & 0o077 and name in _PRIVATE | {"."}:
            told.append(f"other users may read {name}: mode {mode:04o}")
    return told
