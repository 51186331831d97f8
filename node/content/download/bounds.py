"""How large a mod may be, with a person's consent and without.

Its size is what a disk needs, files and folders without a byte included.
"""

from dataclasses import dataclass

from node.content.opened_mods import OpenedMod
from protocol import limits
from protocol.errors import TooLarge
from protocol.texts.amounts import counted


@dataclass(frozen=True, slots=True)
class SizeBound:
    """The most that a download may write. `agreed`: a person accepted a size or set one."""

    max_bytes: int = limits.GET_BYTES
    agreed: bool = False

    def check(self, opened: OpenedMod) -> None:
        """Raise TooLarge for a mod beyond it."""
        contents = opened.contents
        if contents is None:
            return
        size, sealed = contents.disk_bytes, opened.manifest.sealed_bytes
        if size > self.max_bytes:
            folders = f" and {counted(contents.folders, 'folder')}" if contents.folders else ""
            raise TooLarge(
                f"this mod takes {_megabytes(size)} MB of the disk,"
                f" {limits.DISK_ENTRY_BYTES // 1024} KiB for each of its"
                f" {counted(len(contents.files), 'file')}{folders}"
                f" and {_megabytes(contents.total_bytes)} MB in them;"
                f" {_megabytes(self.max_bytes)} MB are allowed"
            )
        if not self.agreed and size > limits.PLAIN_FREE_BYTES + limits.PLAIN_FACTOR * sealed:
            raise TooLarge(
                f"this mod becomes {_megabytes(size)} MB out of {_megabytes(sealed)} MB, far more"
                " than files of games do"
            )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}" if count >= 1e5 or not count else f"{count / 1e6:.6f}".rstrip("0")
