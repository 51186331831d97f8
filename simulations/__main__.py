"""What `modswarm simulate` runs; `python -m simulations` is the same."""

import sys

from simulations.command_line import main

if __name__ == "__main__":
    sys.exit(main())
