"""Entry point of `python -m simulations`."""

import sys

from simulations.command_line import main

if __name__ == "__main__":
    sys.exit(main())
