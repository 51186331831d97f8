"""Folders of ours that go, with all that is in them, and nothing that a link leads to.

Blocking. Every call raises OSError.
"""

import contextlib
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from node.disk.descent import Descent, is_plain_folder


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours and all in it, if it is there.

    Where a link or something else has taken its name, that goes alone: what a link leads to is not
    ours. `shutil.rmtree` gives up where a file's inode number changes between two looks at it, and
    where folders lie in one another by the hundred.
    """
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):
        with contextlib.suppress(FileNotFoundError):
            _remove_by_moving(folder)


def _remove_by_moving(folder: Path) -> None:
    """Move inner folders up before those that they lie in go: so no path gets long.

    No link is followed, whatever takes a folder's place meanwhile.
    """
    status = folder.lstat()
    if is_plain_folder(status):
        with Descent(folder) as inner, Descent(folder) as outer:
            numbers = itertools.count()
            while names := _names_in(outer, ""):
                for name in names:
                    _remove_one(inner, outer, name, numbers)
    if stat.S_ISDIR(status.st_mode):
        folder.rmdir()
    else:
        folder.unlink()


def _remove_one(inner: Descent, outer: Descent, name: str, numbers: Iterator[int]) -> None:
    """Remove what lies in the outermost folder, once the folders in it are moved there."""
    if not is_plain_folder(outer.status(name)):
        _remove_file(outer, name)
        return
    for path in [f"{name}/{one}" for one in _names_in(inner, name)]:
        if is_plain_folder(inner.status(path)):
            place, above = inner.at(path)
            new_place, new_above = outer.at(_unused(outer, numbers))
            os.rename(place, new_place, src_dir_fd=above, dst_dir_fd=new_above)
        else:
            _remove_file(inner, path)
    inner.close()
    place, above = outer.at(name)
    os.rmdir(place, dir_fd=above)


def _names_in(descent: Descent, path: str) -> list[str]:
    with descent.entries(path) as entries:
        return [entry.name for entry in entries]


def _remove_file(descent: Descent, path: str) -> None:
    """Remove what is no folder; of links that Windows takes for folders the link alone."""
    place, above = descent.at(path)
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(descent.status(path).st_mode):
            os.rmdir(place, dir_fd=above)
        else:
            os.unlink(place, dir_fd=above)


def _unused(outer: Descent, numbers: Iterator[int]) -> str:
    for number in numbers:
        name = f"~{number}"
        try:
            outer.status(name)
        except FileNotFoundError:
            return name
    raise AssertionError("numbers do not end")
