"""A process killed while it writes: what it acknowledged is whole, nothing else is half there."""

import subprocess
import sys
from pathlib import Path

import pytest

from node.content.vault.store import Store
from tests.node.content.vault_writer import BATCH, batch

ROOT = Path(__file__).parents[3]


def run_and_kill(folder: Path, step: int, acknowledged: int) -> int:
    """Start a writer, kill it when it stops (or, without a step, after so many batches).

    Returns the last batch that it acknowledged.
    """
    command = [sys.executable, "-m", "tests.node.content.vault_writer", str(folder), str(step)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        last = -1
        for line in writer.stdout:
            if line == "stop\n":
                break
            last = int(line)
            if not step and last == acknowledged:
                break
        writer.kill()
        for line in writer.stdout:  # what it had said before it died
            if line.strip().isdigit():
                last = int(line)
    assert last >= 0
    return last


def check(folder: Path, acknowledged: int) -> None:
    """Everything acknowledged is there; of the rest, whole chunks or none; and it goes on."""
    store = Store(folder)
    for number in range(acknowledged + 1):
        blobs = batch(number)
        assert store.get_many([address for address, _ in blobs]) == [data for _, data in blobs]
    for number in range(acknowledged + 1, acknowledged + 3):
        for address, data in batch(number):
            assert store.get(address) in {None, data}
    assert store.put(batch(1000)) == []
    assert store.get(batch(1000)[0][0]) == batch(1000)[0][1]
    store.close()
    again = Store(folder)
    assert again.get(batch(0)[0][0]) == batch(0)[0][1]
    assert again.get(batch(1000)[-1][0]) == batch(1000)[-1][1]
    again.close()


# One batch is BATCH writes, one fsync and one record in the index; the second batch as well.
@pytest.mark.parametrize("step", range(1, 2 * (BATCH + 2) + 1))
def test_killed_at_every_step_of_two_batches(step: int, tmp_path: Path) -> None:
    last = run_and_kill(tmp_path, step, 0)
    assert last == (step - 1) // (BATCH + 2)
    check(tmp_path, last)


def test_killed_again_and_again_at_full_speed(tmp_path: Path) -> None:
    for acknowledged in (1, 7, 30):
        last = run_and_kill(tmp_path, 0, acknowledged)
        assert last >= acknowledged
        check(tmp_path, last)
