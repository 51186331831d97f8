"""What a part takes of a process that makes it and reads it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_MB = 300


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_the_largest_part_takes_no_more_than_300_mb() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.protocol.content.patching.measure_patch", "12"],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        check=True,
        timeout=120,
    )
    told = json.loads(done.stdout)
    assert told["frame"] < 100_000
    assert 128 < told["made"] <= told["rebuilt"] < _MB
