"""Every operation broken off at every point: `python -m tests.node.content.crashing [OPERATION]`.

The suite takes some of the points; this takes an hour of a core.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.node.content.crashing.operations import OPERATIONS
from tests.node.content.crashing.shim import build, environment
from tests.node.content.crashing.worker import WAYS


def _main() -> int:
    failed = 0
    for operation in sys.argv[1:] or OPERATIONS:
        for way in WAYS:
            with tempfile.TemporaryDirectory() as folder:
                library = build(Path(folder))
                sys.stdout.write(f"{operation}, {way}:\n")
                sys.stdout.flush()
                command = [sys.executable, "-m", "tests.node.content.crashing.worker"]
                failed |= subprocess.run(
                    [*command, operation, way, Path(folder) / "worlds"],
                    check=False,
                    env=environment(library),
                ).returncode
    return failed


if __name__ == "__main__":
    sys.exit(_main())
