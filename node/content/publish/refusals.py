"""Folders that no person means to share: the whole disk, a person's own folder, the system's, keys.

Each refusal says what to do. What is in a home of a node is refused by `HomeGuard`.
"""

from pathlib import Path

from node.content.hidden_names import what_is
from node.content.homes import HomeGuard
from node.content.publish.leaving_out import LeavingOut, option_for
from node.disk.descent import Descent
from protocol.content.file_paths import quoted
from protocol.errors import BadFolder, UnsafePath

_OF_THE_SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev")))
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 (a name, for it holds plain files)
_KEY_FOLDERS = frozenset(
    {".ssh", ".gnupg", ".password-store", ".aws", ".azure", ".kube", ".docker"}
)
_KEY_FILES = frozenset(
    {"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", ".pgpass", ".git-credentials"}
)


def check_root(root: Path, guard: HomeGuard, rules: LeavingOut) -> None:
    """Raise UnsafePath or BadFolder for a real path that is not shared, whatever is in it."""
    if root == Path(root.anchor):
        raise BadFolder(f"{root} is all of a disk: name the folder that is to be shared")
    for folder in _OF_THE_SYSTEM:  # its sizes are untrue, and it may wait
        if root.is_relative_to(folder) and not root.is_relative_to(_IN_MEMORY):
            raise UnsafePath(f"{root} is not shared: what is in {folder} is the system's own")
    guard.check_outside(root, "shared")
    for part in root.parts:
        reason = reason_against(part, is_folder=part != root.name or root.is_dir())
        if reason:
            raise UnsafePath(f"{root} is not shared: {quoted(part)} {reason}")
    if _own_folder().is_relative_to(root):
        raise BadFolder(
            f"{root} has all that is yours, with keys and passwords: "
            "name the folder in it that is to be shared"
        )
    for home in guard.homes():
        if not home.is_relative_to(root):
            continue
        path = home.relative_to(root)
        with Descent(root) as descent:
            if not _is_left_out(descent, path, rules):
                raise UnsafePath(home_within(path.as_posix()))


def _own_folder() -> Path:
    """The folder of this user; one that is never there if the system knows none."""
    try:
        return Path.home().resolve()
    except (RuntimeError, OSError):
        return Path()


def _is_left_out(descent: Descent, path: Path, rules: LeavingOut) -> bool:
    for folder in reversed([path, *path.parents][:-1]):
        if rules.covers(folder.as_posix(), is_folder=True):
            return True
        rules.enter(f"{folder.as_posix()}/", descent, folder.as_posix())
    return False


def home_within(path: str) -> str:
    """The sentence for a home of a node at this path in a folder to share; empty for itself."""
    if not path:
        return "the folder is the home of a node, whose keys must stay there: share another one"
    return (
        f"{quoted(path + '/')} is the home of a node, whose keys must stay there: "
        f"share a folder without it, or leave it out with {option_for(path)}"
    )


def reason_against(name: str, *, is_folder: bool) -> str:
    """Why nothing of this name is shared; empty if there is no reason."""
    folded = name.casefold()
    hidden = what_is(Path(name))
    if hidden is not None and is_folder == (hidden[0] != "lock"):
        return (
            f"is {'' if is_folder else 'the lock of '}a mod that `get` is writing, or that it "
            "wrote when it was ended: wait for it, or delete it"
        )
    if folded in (_KEY_FOLDERS if is_folder else _KEY_FILES):
        return "holds keys or passwords, by its name"
    return ""
