"""What `modswarm simulate` runs; `python -m simulations` is the same."""

import sys

from node.machine import streams
from simulations.command_line import main

if __name__ == "__main__":
    with streams.harmless():
        status = main()
    sys.exit(status)
