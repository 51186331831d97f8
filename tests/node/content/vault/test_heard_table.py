"""What was seen of lineages is in the vault, the least recent first, and survives a restart."""

from pathlib import Path

import pytest

from node.content.vault.vault import Vault
from node.following.remembering import Remembering
from node.overlay.lineages.heard import HeardLineages
from protocol.content.lineage.history import Seen
from protocol.errors import DiskError
from tests.protocol.content.lineage.signed import signed_for


async def test_rows_are_replaced_forgotten_and_read_in_their_order(tmp_path: Path) -> None:
    vault = await Vault.open(tmp_path)
    one, other = Seen(1, bytes(32)), Seen(2**53, b"\1" * 32, b"\2" * 32, b"\3" * 16)
    await vault.record(lambda tables: tables.heard.change({b"a": one, b"b": other}, 1.0))
    await vault.record(lambda tables: tables.heard.change({b"a": other, b"c": one}, 2.0))
    await vault.record(lambda tables: tables.heard.change({b"c": None}, 3.0))
    await vault.close()
    vault = await Vault.open(tmp_path)
    found = await vault.recall(lambda tables: tables.heard.all())
    assert found == [(b"b", other), (b"a", other)]
    await vault.close()


async def test_what_the_disk_does_not_take_is_no_defect_and_later_changes_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, heard = await Vault.open(tmp_path), HeardLineages()
    remembering = Remembering(vault, heard, lambda: 5.0)
    one, other = signed_for(1), signed_for(2)

    async def full(_change: object) -> None:
        raise DiskError("the disk is full")

    heard.hear(one)
    with monkeypatch.context() as patch:
        patch.setattr(vault, "record", full)
        await remembering.save()
    heard.hear(other)
    await remembering.save()
    again = HeardLineages()
    await Remembering(vault, again, lambda: 6.0).load()
    assert again.seen(one.public_key) == heard.seen(one.public_key)
    assert again.seen(other.public_key) == heard.seen(other.public_key)
    await vault.close()
