"""A node that dies at any step of an eviction or a check: what is left is whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.content.keeping.keeper import Keeper
from node.content.room import Disk
from node.content.vault.index import Index
from node.content.vault.packs import Packs
from node.content.vault.tables.mod_table import ModTable
from node.content.vault.vault import Vault
from tests.node.content.keeping.test_keeper import KB, Mods, blob, chunks

STEPS = ((Packs, ("write", "cut")), (Index, ("delete", "record", "scrub")), (ModTable, ("evict",)))


class Killed(BaseException):
    """Nothing is done after this."""


def dying(function: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    """The same, but dead once its turn has come; before it, and from then on."""

    def called(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] <= 0:
            raise Killed
        return function(*arguments)

    return called


@pytest.mark.parametrize("step", range(1, 16))
async def test_killed_at_any_step(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = await Vault.open(tmp_path / "vault", lambda: 1e6)
    mods = Mods(vault)
    for number in range(5):
        await mods.add(number, [*chunks(10 * number, 3), *chunks(90, 2)])
    with monkeypatch.context() as patch:
        left = [step]
        for owner, names in STEPS:
            for name in names:
                patch.setattr(owner, name, dying(getattr(owner, name), left))
        try:
            await Keeper(vault, 9 * KB, look=lambda _: Disk(1, 2**40, 2**40)).keep_within()
            while not (await vault.scrub()).done:
                pass
        except Killed:
            pass
    await vault.close()
    mods.vault = vault = await Vault.open(tmp_path / "vault", lambda: 1e6)
    await Keeper(vault, 9 * KB, look=lambda _: Disk(1, 2**40, 2**40)).keep_within()
    await vault.collect()
    assert await mods.left() == {3, 4}
    for number in (3, 4):
        assert await vault.missing(mods.ids[number]) == []
        for one in (*range(10 * number, 10 * number + 3), 90, 91):
            assert await vault.get(blob(one)[0]) == blob(one)[1]
    assert await vault.get(blob(0)[0]) is None
    assert not (await vault.scrub()).bad
    await vault.close()
