"""Make the identity of the home that is named as the only argument, and end.

A process of its own, because each takes seconds of CPU and the demo wants many.
"""

import random
import secrets
import sys
from pathlib import Path

from node.home import Home
from protocol.errors import ModswarmError


def make(folder: Path, rng: random.Random) -> None:
    """Make the home, if it is new, and its identity."""
    home = Home.open(folder)
    try:
        home.identity(rng)
    finally:
        home.close()


if __name__ == "__main__":
    try:
        make(Path(sys.argv[1]), secrets.SystemRandom())
    except ModswarmError as failure:
        sys.exit(f"Error: {failure}")
