"""Killed, without power or without room at any point: nothing is lost, and the work goes on.

Each operation of a node on its disk is broken off at points drawn from all of its operations on
files; what is left is opened by another process, which finds all that was acknowledged, verifies
every row of the vault, goes on where the first one ended, and leaves nothing behind.

killed      SIGKILL before, or within, its n-th operation; often again while it goes on
cut         the power is cut: what was not flushed is lost, or some of it, as a disk may have it
full        the disk refuses the n-th operation that takes room, or all from there on
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.node.content.crashing.operations import OPERATIONS
from tests.node.content.crashing.shim import build, environment

ROOT = Path(__file__).parents[4]
POINTS = {"kill": 24, "cut": 5, "fill": 12}
"""Of each operation. After a cut of the power five disks are looked at, for a full one two."""
LEAST = 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the shim is for Linux")


@pytest.mark.parametrize("way", POINTS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_broken_off_at_any_point(operation: str, way: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.node.content.crashing.worker", operation, way]
    done = subprocess.run(
        [*command, tmp_path / "worlds", "--points", str(POINTS[way])],
        cwd=ROOT,
        env=environment(build(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    *failures, last = map(json.loads, done.stdout.splitlines() or ["{}"])
    assert not failures, f"{failures[0]['point']}: {failures[0]['failure']}"
    assert done.returncode == 0, done.stderr
    assert last["points"] >= LEAST
