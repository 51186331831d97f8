"""The folders that a process is given and may lack: its user's own, and the current one.

A container's user may be unknown to its system and have no HOME; the current folder may be removed.
"""

import os
import sys
from pathlib import Path

from protocol.errors import BadInput, HomeError

_NO_HOME = "this user has no home folder: HOME is not set, and the system does not know the user"
_NAME_ONE = "Name the folder of the node with --home DIR, or in MODSWARM_HOME."


def default_home() -> Path:
    """The platform's folder for a user's application data; raises HomeError."""
    found = known_default_home()
    if found is None:
        raise HomeError(_NO_HOME, advice=_NAME_ONE)
    return found


def known_default_home() -> Path | None:
    """As `default_home`; None where this user has no folder of its own."""
    if sys.platform == "win32":
        base = _named("LOCALAPPDATA") or _below_own("AppData", "Local")
    elif sys.platform == "darwin":
        base = _below_own("Library", "Application Support")
    else:
        base = _named("XDG_DATA_HOME") or _below_own(".local", "share")
    return base and base / "modswarm"


def current_folder() -> Path:
    """The current folder; raises BadInput if it was removed."""
    try:
        return Path.cwd()
    except OSError:
        raise BadInput(
            "the current folder does not exist any more",
            advice="Go to another one with `cd`, or write whole paths, from the root on.",
        ) from None


def absolute(path: Path) -> Path:
    """The path from the root on; `..` is taken out, links are kept. Raises BadInput."""
    whole = path if path.is_absolute() else current_folder() / path
    return Path(os.path.realpath(whole)) if ".." in path.parts else whole


def _named(variable: str) -> Path | None:
    """The folder in a variable, which counts only if it is whole (XDG Base Directory)."""
    path = Path(os.environ.get(variable, "").strip())
    return path if path.is_absolute() else None


def _below_own(*parts: str) -> Path | None:
    own = _own_folder()
    return own and own.joinpath(*parts)


def _own_folder() -> Path | None:
    """By HOME if that is a whole path, or else by the system's list of users."""
    if sys.platform == "win32":
        path = Path(os.path.expanduser("~"))  # noqa: PTH111 (Path.home() raises)
        return path if path.is_absolute() else None
    import pwd

    try:
        return _named("HOME") or Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None
