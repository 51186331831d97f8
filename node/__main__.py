"""`python -m node` is the command `modswarm`."""

import os
import signal
from typing import Any

_INTERRUPTED = 130


def _leave(*_: Any) -> None:
    os._exit(_INTERRUPTED)


# Before anything else is imported: a Ctrl-C meanwhile would be a traceback.
signal.signal(signal.SIGINT, _leave)
if hasattr(signal, "pthread_sigmask"):
    # The script blocks it until here, for the time that Python takes to start.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

from node.faces.cli.main import main  # noqa: E402 (see above)

if __name__ == "__main__":
    main()
