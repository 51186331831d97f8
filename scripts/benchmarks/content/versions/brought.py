"""How long a folder of many small files takes to come to another version, and what memory."""

import json
import subprocess
import sys
from typing import Any

from scripts.benchmarks.content.rows import Setting

_MODULE = "scripts.benchmarks.content.versions.bringing"
_LIMIT_S = 600.0


def brought(setting: Setting) -> dict[str, Any]:
    """A folder of small files comes to a version with 1 % of them changed, and back."""
    folder = str(setting.folder)
    links = _run("prepare", folder, str(setting.sizes.files))
    return {**_run("update", folder, *links), "files": setting.sizes.files}


def _run(*words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", _MODULE, *words], check=True, capture_output=True, timeout=_LIMIT_S
    )
    return json.loads(done.stdout)
