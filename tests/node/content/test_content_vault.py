"""The vault on the event loop: one thread, in order, collected when no holding is left."""

import asyncio
import random
import threading
from pathlib import Path

import pytest

from node.content.vault.store import Store
from node.content.vault.vault import Vault
from protocol.content import sealing
from protocol.errors import DiskError, HomeError
from tests.node.content.content_nodes import content_node, write_files

pytestmark = pytest.mark.real_loop


def blob(number: int, size: int = 1000) -> tuple[bytes, bytes]:
    data = random.Random(number).randbytes(size)
    return sealing.address_of(data), data


async def test_put_and_get(tmp_path: Path) -> None:
    vault = await Vault.open(tmp_path / "vault")
    blobs = [blob(number) for number in range(50)]
    await asyncio.gather(*(vault.put([one]) for one in blobs))
    found = await vault.get_many([address for address, _ in blobs])
    assert found == [data for _, data in blobs]
    assert await vault.get(blobs[3][0]) == blobs[3][1]
    assert await vault.put([(bytes(32), b"not that")]) == [bytes(32)]
    await vault.close()


async def test_the_store_is_touched_by_one_thread_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()
    real_get = Store.get

    def get(self: Store, address: bytes) -> bytes | None:
        threads.add(threading.get_ident())
        return real_get(self, address)

    monkeypatch.setattr(Store, "get", get)
    vault = await Vault.open(tmp_path / "vault")
    await asyncio.gather(*(vault.get(bytes(32)) for _ in range(20)))
    await vault.close()
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


async def test_what_was_asked_before_the_end_is_done(tmp_path: Path) -> None:
    vault = await Vault.open(tmp_path / "vault")
    puts = [asyncio.ensure_future(vault.put([blob(number)])) for number in range(9)]
    await asyncio.sleep(0)
    await vault.close()
    assert await asyncio.gather(*puts) == [[]] * 9
    again = await Vault.open(tmp_path / "vault")
    assert await again.get(blob(8)[0]) == blob(8)[1]
    await again.close()


async def test_a_vault_in_use_or_in_a_wrong_place(tmp_path: Path) -> None:
    vault = await Vault.open(tmp_path / "vault")
    with pytest.raises(HomeError):
        await Vault.open(tmp_path / "vault")
    await vault.close()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DiskError):
        await Vault.open(tmp_path / "file")


async def test_removing_waits_for_the_end_of_holding(tmp_path: Path) -> None:
    """A chunk that is stored, and not yet part of a mod, must not go with another mod."""
    async with content_node(tmp_path) as node:
        folder = write_files(tmp_path / "a", {"x": bytes(1000)})
        shared = await node.publisher.publish(folder)
        async with node.vault.holding():
            await node.vault.put([blob(1)])
            assert await node.vault.remove_mod(shared.mod_id)
            assert await node.vault.get(blob(1)[0]) == blob(1)[1]
            assert await node.vault.mods() == []
        assert await node.vault.get(blob(1)[0]) is None
        assert not await node.vault.remove_mod(shared.mod_id)
    assert list((tmp_path / "vault" / "packs").iterdir()) == []


async def test_watchers_hear_of_new_chunks(tmp_path: Path) -> None:
    vault = await Vault.open(tmp_path / "vault")
    heard = []
    with vault.watched_by(lambda: heard.append(threading.get_ident())):
        await vault.put([blob(1)])
    await vault.put([blob(2)])
    assert heard == [threading.get_ident()]
    await vault.close()
