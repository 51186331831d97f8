"""What is in a folder, to be compared."""

import hashlib
from pathlib import Path


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file, by its path in the folder."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
