"""MB/s of a web page's link in headless Chromium, by what the tests of pages measure."""

import json
import subprocess
import sys
from typing import Any

_PROGRAM = "tests.browser.measure_pages"


def run(runs: int) -> dict[str, Any]:
    """Medians of so many runs: with a node, both ways, directly and by our TURN; and without."""
    words = (sys.executable, "-P", "-m", _PROGRAM, str(runs))
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return {"MB/s": json.loads(done.stdout)}
