"""A folder of real files that every machine with modswarm has: the largest installed package."""

import sysconfig
from pathlib import Path

from protocol.errors import BadFolder


def largest_package() -> Path:
    """The folder of the installed package with the most bytes; raises BadFolder."""
    roots = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    packages = [
        folder
        for root in sorted(filter(Path.is_dir, roots))
        for folder in sorted(root.iterdir())
        if (folder / "__init__.py").is_file()
    ]
    if not packages:
        raise BadFolder("no installed package was found to share; name a folder with --path")
    return max(packages, key=_bytes_in)


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
