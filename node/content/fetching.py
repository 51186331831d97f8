"""One `get`: a mod comes into the vault, and out of it into files."""

from collections.abc import Awaitable, Callable

from node.content.assemble.assembler import Assembled
from node.content.assemble.place import TargetPlace
from node.content.download.downloader import REMOVED, DownloadResult
from node.content.progress import ReportProgress
from node.content.vault.vault import Vault
from protocol.errors import DownloadCancelled, ModswarmError, NotFound

Download = Callable[[], Awaitable[DownloadResult]]
"""Fetches what the vault lacks of a mod, which `place` takes; raises as `Downloader.download`."""


async def fetch_and_write(
    vault: Vault, mod_id: bytes, download: Download, place: TargetPlace, report: ReportProgress
) -> tuple[DownloadResult, Assembled]:
    """Fetch a mod and let its files appear at `place`; raises as `download` and `place.write`.

    What the disk has damaged shows only when it is read: that is fetched again.
    """
    done = await download()
    while True:
        try:
            return done, await place.write(report)
        except NotFound as lack:
            if await vault.mod(mod_id) is None:
                raise DownloadCancelled(REMOVED) from lack
            more = await _once_more(download)
            if not more.chunks_fetched:
                raise
        done = done.and_then(more)


async def _once_more(download: Download) -> DownloadResult:
    try:
        return await download()
    except ModswarmError as error:
        error.add_note("the disk has damaged a part of what the vault had")
        raise
