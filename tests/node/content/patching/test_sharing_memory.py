"""What memory a patch takes of the process that shares."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_MB = 300
_PART_BYTES = 30 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_patch_of_several_large_parts_takes_no_more_than_300_mb(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.node.content.patching.measure_sharing", str(tmp_path)]
    folder = Path(__file__).parents[4]
    subprocess.run([*command, "write"], cwd=folder, check=True, timeout=60)
    done = subprocess.run(command, cwd=folder, check=True, timeout=300, capture_output=True)
    told = json.loads(done.stdout)
    (patch_bytes,) = told["patches"]
    assert patch_bytes > 2 * _PART_BYTES - 2**21, "of less there would be nothing to hold"
    assert told["shared"] - told["before"] < _MB
