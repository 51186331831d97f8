"""How a follow stands after an error, and for which versions a person has to say yes."""

from node.answers.follows import FollowStatus
from node.content.vault.stored_follow import StoredFollow
from node.following.chain import Version
from protocol import limits
from protocol.errors import (
    DownloadCancelled,
    LocalError,
    ModswarmError,
    NetworkError,
    TargetBusy,
    TargetChanged,
)
from protocol.texts.amounts import size_text

_AFTER = {
    TargetChanged: FollowStatus.CHANGED,
    TargetBusy: FollowStatus.BUSY,
    NetworkError: FollowStatus.WAITING,
    DownloadCancelled: FollowStatus.WAITING,
    ModswarmError: FollowStatus.FAILED,
}


def status_after(error: ModswarmError) -> FollowStatus:
    """How it stands after an error, by the first kind that it is of."""
    return next(status for kind, status in _AFTER.items() if isinstance(error, kind))


def said_of(error: ModswarmError) -> str:
    """What happened, and what a person may do, without the last full stop."""
    advice = error.advice if isinstance(error, LocalError) else ""
    return f"{error}. {advice}".removesuffix(".") if advice else str(error)


def why_asked(follow: StoredFollow, version: Version) -> str:
    """Why a version is so large that a person has to agree; empty if it is not.

    Its size is what the disk needs for the folder, or for the vault: a publisher who lies about the
    one has to lie about the other too.
    """
    contents = version.opened.contents
    assert contents is not None
    if follow.mod_id is None or follow.allowed == version.link.mod_id:
        return ""
    size = max(contents.disk_bytes, version.opened.manifest.sealed_bytes)
    is_beyond = follow.max_bytes and size > follow.max_bytes
    if not is_beyond and size <= limits.UPDATE_GROWTH * follow.disk_bytes:
        return ""
    bound = (
        f"--max-size {size_text(follow.max_bytes)}"
        if is_beyond
        else f"twice the {size_text(follow.disk_bytes)} of version {follow.version}"
    )
    return f"version {version.number} takes {size_text(size)} of the disk, more than {bound}"
