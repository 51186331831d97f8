"""How long a folder of many small files takes to come to another version, and what memory."""

from typing import Any

from scripts.benchmarks.content.apart import told_by
from scripts.benchmarks.content.rows import Setting

_MODULE = "scripts.benchmarks.content.versions.bringing"


def brought(setting: Setting) -> dict[str, Any]:
    """A folder of small files comes to a version with 1 % of them changed, and back."""
    folder = setting.folder
    links = told_by(_MODULE, "prepare", folder, setting.sizes.files)
    return {**told_by(_MODULE, "update", folder, *links), "files": setting.sizes.files}
