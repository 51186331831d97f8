"""Operations broken off at every point: `python -m tests.node.content.crashing [OPERATION ...]`.

The suite takes some of the points; all of them take a core some hours. `--kill`, `--cut` and
`--fill` with a number take so many of each, drawn by `--seed`.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.node.content.crashing.operations import OPERATIONS
from tests.node.content.crashing.shim import build, environment
from tests.node.content.crashing.worker import WAYS
from tests.node.content.crashing.worlds import room_for_worlds


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("operations", nargs="*", metavar="OPERATION")
    for name in (*WAYS, "seed"):
        parser.add_argument(f"--{name}", type=int)
    words = parser.parse_args()
    given = [(name, getattr(words, name)) for name in (*WAYS, "seed")]
    options = [f"--{name}={number}" for name, number in given if number is not None]
    command = [sys.executable, "-m", "tests.node.content.crashing.worker"]
    failed = 0
    for operation in words.operations or OPERATIONS:
        sys.stdout.write(f"{operation}:\n")
        sys.stdout.flush()
        with tempfile.TemporaryDirectory() as folder, room_for_worlds(Path(folder)) as worlds:
            failed |= subprocess.run(
                [*command, operation, worlds, *options],
                check=False,
                env=environment(build(Path(folder))),
            ).returncode
    return failed


if __name__ == "__main__":
    sys.exit(_main())
