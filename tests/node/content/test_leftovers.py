"""What `get`s left that are gone is removed, and what others need is not waited for."""

import time
from pathlib import Path

import pytest

from node.content.assemble.leftovers import sweep
from node.content.hidden_names import growing_of, lock_of
from node.disk.lock import FolderLock


def test_a_get_waits_for_no_other_that_writes_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would cost 80 ms: 200 that begin in one folder, 16 s each."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    gone, others = tmp_path / "gone", [tmp_path / f"out{i}" for i in range(3)]
    for target in (gone, *others):
        growing_of(target).mkdir()
    lock_of(gone).touch()
    held = [FolderLock.take(lock_of(target)) for target in others]
    sweep(tmp_path, ())
    left = {path.name for path in tmp_path.iterdir()}
    for lock in held:
        lock.close()
    assert left == {name(one).name for one in others for name in (growing_of, lock_of)}
    assert waits == []
