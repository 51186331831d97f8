"""A start that fails or is cancelled leaves nothing open, and its node still shows its defects."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from node.config import Config
from node.content.vault import vault
from node.content.vault.store import Store
from node.content.vault.vault import Vault
from node.environment import Environment
from node.runtime import Node
from protocol.errors import DiskError, HomeError, LocalError
from tests.identities import give_identities

pytestmark = pytest.mark.real_loop

Break = Callable[[Path, pytest.MonkeyPatch], type[LocalError]]


def opened(home: Path) -> Node:
    return Node.open(home, Config(listen=("127.0.0.1:0",)), Environment(), lambda _: None)


def break_certificate(home: Path, monkeypatch: pytest.MonkeyPatch) -> type[LocalError]:
    (home / "certificate.pem").mkdir()
    return HomeError


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
