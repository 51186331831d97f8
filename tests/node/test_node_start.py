"""A start that fails or is cancelled leaves nothing open, and its node still shows its defects."""

import asyncio
import errno
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from node.config import DEFAULT_PORT, Config
from node.content.vault import vault
from node.content.vault.store import Store
from node.content.vault.vault import Vault
from node.environment import Environment, udp_socket
from node.links import layers
from node.overlay.settings import OverlaySettings
from node.runtime import Node
from protocol.errors import BadAddress, DiskError, LocalError
from tests.identities import give_identities

pytestmark = pytest.mark.real_loop

Break = Callable[[Path, pytest.MonkeyPatch], type[LocalError]]


def opened(home: Path) -> Node:
    return Node.open(home, Config(listen=("127.0.0.1:0",)), Environment(), lambda _: None)


def test_an_identity_is_made_and_announced_after_all_that_may_be_refused(tmp_path: Path) -> None:
    said: list[str] = []
    settings = OverlaySettings(puzzle_bits=0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        config = Config(listen=(f"127.0.0.1:{taken.getsockname()[1]}",))
        with pytest.raises(BadAddress, match="another program uses"):
            Node.open(tmp_path / "home", config, Environment(), said.append, settings)
    assert (said, (tmp_path / "home" / "identity.key").exists()) == ([], False)
    for _ in range(2):
        config = Config(listen=("127.0.0.1:0",))
        Node.open(tmp_path / "home", config, Environment(), said.append, settings).home.close()
        assert said == ["Making an identity for this node; this takes some seconds, once."]


def break_certificate(home: Path, monkeypatch: pytest.MonkeyPatch) -> type[LocalError]:
    (home / "certificate.pem").mkdir()
    return DiskError


def break_vault(home: Path, monkeypatch: pytest.MonkeyPatch) -> type[LocalError]:
    (home / "vault").write_text("not a folder")
    return DiskError


def break_collecting(home: Path, monkeypatch: pytest.MonkeyPatch) -> type[LocalError]:
    async def fail(self: Vault) -> None:
        raise DiskError("the disk failed")

    monkeypatch.setattr(Vault, "collect", fail)
    return DiskError


def repair(home: Path) -> None:
    if (home / "certificate.pem").is_dir():
        (home / "certificate.pem").rmdir()
    if (home / "vault").is_file():
        (home / "vault").unlink()


@pytest.mark.parametrize("break_something", [break_certificate, break_vault, break_collecting])
async def test_a_start_that_fails_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, break_something: Break
) -> None:
    give_identities([tmp_path])
    node = opened(tmp_path)
    assert node.defects == []
    with monkeypatch.context() as broken:
        expected = break_something(tmp_path, broken)
        with pytest.raises(expected):
            await node.start()
    assert node.defects == []
    repair(tmp_path)
    again = opened(tmp_path)
    await again.start()
    await again.stop()


async def test_a_start_that_is_cancelled_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_identities([tmp_path])
    loop, opening, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def slow_store(folder: Path) -> Store:
        loop.call_soon_threadsafe(opening.set)
        go_on.wait()
        return Store(folder)

    with monkeypatch.context() as slow:
        slow.setattr(vault, "Store", slow_store)
        starting = asyncio.ensure_future(opened(tmp_path).start())
        await opening.wait()
        starting.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await starting
    again = opened(tmp_path)
    await again.start()
    await again.stop()


@pytest.mark.parametrize(
    ("own", "families"),
    [(["192.0.2.7", "2001:db8::7"], {4, 6}), (["192.0.2.7"], {4}), (["2001:db8::7"], {6})],
)
async def test_by_default_a_node_has_one_port_of_each_family_of_its_machine(
    tmp_path: Path, own: list[str], families: set[int]
) -> None:
    give_identities([tmp_path])
    here = Environment(host_addresses=lambda: own)
    node = Node.open(tmp_path, Config(bootstrap=("192.0.2.9:9",)), here, lambda _: None)
    await node.start()
    bound = node.membership.endpoint.addresses
    assert set(bound) == families
    assert {one.host for one in bound.values()} <= {"0.0.0.0", "::"}
    await node.stop()


async def test_a_taken_default_port_is_told(tmp_path: Path) -> None:
    def taken(host: str, port: int) -> socket.socket:
        if port == DEFAULT_PORT:
            raise OSError(errno.EADDRINUSE, "taken")
        return udp_socket(host, port)

    give_identities([tmp_path])
    said: list[str] = []
    here = Environment(host_addresses=lambda: ["192.0.2.7"], udp_socket=taken)
    node = Node.open(tmp_path, Config(bootstrap=("192.0.2.9:9",)), here, said.append)
    await node.start()
    (bound,) = node.membership.endpoint.addresses.values()
    await node.stop()
    (told,) = [one for one in said if one.startswith(f"UDP port {DEFAULT_PORT} is taken")]
    assert f"uses {bound.port}: what a router forwards" in told


async def test_a_machine_that_refuses_ipv6_is_served_by_ipv4(tmp_path: Path) -> None:
    def no_ipv6(host: str, port: int) -> socket.socket:
        if ":" in host:
            raise OSError(errno.EAFNOSUPPORT, "kind of address")
        return udp_socket(host, port)

    give_identities([tmp_path])
    here = Environment(host_addresses=lambda: ["192.0.2.7", "2001:db8::7"], udp_socket=no_ipv6)
    node = Node.open(tmp_path, Config(bootstrap=("192.0.2.9:9",)), here, lambda _: None)
    await node.start()
    assert set(node.membership.endpoint.addresses) == {4}
    await node.stop()
    asked = Node.open(tmp_path, Config(listen=("[::]:0",)), here, lambda _: None)
    with pytest.raises(BadAddress, match="kind of address"):
        await asked.start()


async def test_once_joined_a_node_loads_what_links_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when the first call comes, whose caller would wait for it."""
    loaded: list[str] = []
    loop, loading = asyncio.get_running_loop(), asyncio.Event()

    def load(data_path: str) -> None:
        loaded.append(data_path)
        loop.call_soon_threadsafe(loading.set)

    monkeypatch.setattr(layers, "_load", load)
    give_identities([tmp_path])
    node = opened(tmp_path)
    await node.start()
    for _ in range(100):
        await asyncio.sleep(0)
    assert not loaded
    node.joined.set()
    await loading.wait()
    await node.stop()
    assert loaded == ["native"]
