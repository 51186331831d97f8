"""Killed, without power or without room at any point: nothing is lost, and the work goes on.

Each operation of a node on its disk is broken off at points drawn from all of its operations on
files; what is left is opened by another process, which finds all that was acknowledged, verifies
every row of the vault, goes on where the first one ended, and leaves nothing behind.

killed      SIGKILL before, or within, its n-th operation; often again while it goes on
cut         the power is cut: what was not flushed is lost, or some of it, as a disk may have it
full        the disk refuses the n-th operation that takes room, or all from there on; of some the
            power is cut in the end
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.node.content.crashing.operations import OPERATIONS
from tests.node.content.crashing.shim import build, environment
from tests.node.content.crashing.worlds import room_for_worlds

ROOT = Path(__file__).parents[4]
POINTS = {"kill": 60, "cut": 20, "fill": 25}
"""Of each operation. After a cut of the power five disks are looked at, for a full one two."""
KILLS = {"update": 100, "follow": 100}
"""Of operations on what a person has and the vault does not."""
LEAST = 40
"""Of each way: an operation may have fewer points than are asked for."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the shim is for Linux")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("shim"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_broken_off_at_any_point(operation: str, library: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.node.content.crashing.worker", operation]
    kills = KILLS.get(operation, POINTS["kill"])
    options = [f"--{way}={points}" for way, points in (POINTS | {"kill": kills}).items()]
    with room_for_worlds(tmp_path) as worlds:
        done = subprocess.run(
            [*command, worlds, *options],
            cwd=ROOT,
            env=environment(library),
            capture_output=True,
            text=True,
            check=False,
        )
    *failures, last = map(json.loads, done.stdout.splitlines() or ["{}"])
    where = [(one["way"], one["point"]) for one in failures]
    assert not failures, f"{where}, the first of them: {failures[0]['failure']}"
    assert done.returncode == 0, done.stderr
    assert min(last["points"].values()) >= LEAST
    assert last["points"].keys() == POINTS.keys()
