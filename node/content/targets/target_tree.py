"""Names below a folder, each reached through the folders above it: no link is ever followed.

Blocking. Every call raises OSError, and BlockedWay where something else than a folder stands in the
way to a path.
"""

import contextlib
import errno
import os
from pathlib import Path
from typing import Final

from node.disk.descent import BY_FOLDER, Descent, is_plain_folder
from node.disk.moving import move_new
from node.disk.refusals import flush_file, flush_folder

_READ: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0)
_IN_THE_WAY: Final = {errno.ENOTDIR, errno.ELOOP, errno.EMLINK}


class BlockedWay(OSError):
    """At `path`, where a folder should be, is something else."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        self.path = path


class TargetTree:
    """What is below `root`, by paths with slashes. `close` it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._descent = Descent(root)

    def close(self) -> None:
        """Forget the folders that are open; they may have gone."""
        self._descent.close()

    def at(self, path: str) -> tuple[str, int | None]:
        """What the system is given for a path: a name, and the open folder that it is in."""
        try:
            if not BY_FOLDER:
                self._look_at_way(path)
            return self._descent.at(path)
        except OSError as error:
            if error.errno not in _IN_THE_WAY or isinstance(error, BlockedWay):
                raise
        raise BlockedWay(self._block(path))

    def _look_at_way(self, path: str) -> None:
        """Raise BlockedWay where the system opens nothing by a folder, and a link is in the way."""
        for folder in folders_above(path):
            place = self.root / folder
            with contextlib.suppress(FileNotFoundError):
                if not is_plain_folder(place.lstat()):
                    raise BlockedWay(folder)

    def _block(self, path: str) -> str:
        for folder in folders_above(path):
            name, above = self._descent.at(folder)
            if not is_plain_folder(os.stat(name, dir_fd=above, follow_symlinks=False)):
                return folder
        return path.rpartition("/")[0]

    def status(self, path: str) -> os.stat_result | None:
        """What is at a path; None if nothing is. A link is told as one."""
        try:
            name, folder = self.at(path)
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def has(self, path: str) -> bool:
        """Whether anything is at a path, to which the way is free."""
        try:
            return self.status(path) is not None
        except BlockedWay:
            return False

    def entries(self, path: str) -> "os._ScandirIterator[str]":
        """What is in a folder. Its entries hold until another path is reached."""
        self.at(f"{path}/.")
        return self._descent.entries(path)

    def open(self, path: str) -> int:
        """A descriptor to read a file; a link is refused, and a pipe not waited for."""
        name, folder = self.at(path)
        return os.open(name, _READ | _NONBLOCK, dir_fd=folder)

    def may_change(self, folder: str) -> bool:
        """Whether this user may make and remove names in a folder."""
        name, above = self.at(f"{folder}/." if folder else ".")
        return os.access(name, os.W_OK | os.X_OK, dir_fd=above)

    def move(self, path: str, other: "TargetTree", other_path: str) -> None:
        """Rename to a name in another tree that is known to be free."""
        name, folder = self.at(path)
        new_name, new_folder = other.at(other_path)
        os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder)

    def move_new(self, path: str, other: "TargetTree", other_path: str) -> None:
        """Rename to a name in another tree; raises FileExistsError where that is taken."""
        name, folder = self.at(path)
        move_new(name, folder, *other.at(other_path))

    def make_folder(self, path: str) -> None:
        """Make one folder; the one above it is there."""
        name, folder = self.at(path)
        os.mkdir(name, dir_fd=folder)

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        self.close()
        name, folder = self.at(path)
        os.rmdir(name, dir_fd=folder)

    def remove(self, path: str) -> None:
        """Remove a file."""
        name, folder = self.at(path)
        os.unlink(name, dir_fd=folder)

    def flush_folder(self, path: str) -> None:
        """Flush the names in a folder, which may have gone, to the disk."""
        try:
            if not BY_FOLDER:
                flush_folder(self.root / path)
                return
            _, folder = self.at(f"{path}/." if path else ".")
            assert folder is not None
            flush_file(folder)
        except (FileNotFoundError, BlockedWay):
            return


def folders_above(path: str) -> list[str]:
    """The folders that a path is in, the outermost first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
