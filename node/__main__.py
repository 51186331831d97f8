"""`python -m node` is the command `modswarm`."""

import os
import signal
import sys

_INTERRUPTED = 130


def _leave(*_: object) -> None:
    # `modswarm run` is ended by Ctrl-C as it should be, also before it runs.
    os._exit(0 if sys.argv[1:2] == ["run"] else _INTERRUPTED)


# Before anything else is imported, `typing` included: a Ctrl-C meanwhile would be a traceback.
signal.signal(signal.SIGINT, _leave)
_first = {signal.SIGINT}
if sys.argv[1:2] == ["run"]:
    # As `run` ends in order by it, it does so with the same status before it runs.
    signal.signal(signal.SIGTERM, _leave)
    _first.add(signal.SIGTERM)
if hasattr(signal, "pthread_sigmask"):
    # The script blocks them until here, for the time that Python takes to start.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _first)

from node.faces.cli.main import main  # noqa: E402 (see above)

if __name__ == "__main__":
    main()
