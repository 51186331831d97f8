"""How long the steps of one `get` took, and what it tells in the end."""

from collections.abc import Awaitable, Callable

from node.answers.mods import GetResult
from node.content.assemble.assembler import Assembled
from node.content.download.downloader import DownloadResult
from node.content.progress import Progress, ReportProgress
from node.holders.stats import FetchStats


class GetTimes:
    """Make it when the `get` begins. `now` is the loop's clock; `report` passes progress on."""

    def __init__(self, now: Callable[[], float], report: ReportProgress) -> None:
        self._now = now
        self._report = report
        self._started = self._transferred = now()
        self._first_byte: float | None = None

    def report(self, progress: Progress) -> None:
        """A ReportProgress, which sees when a source had first brought something of the mod."""
        if self._first_byte is None and progress.bytes_fetched:
            self._first_byte = self._now()
        self._report(progress)

    async def of(self, download: Awaitable[DownloadResult]) -> DownloadResult:
        """Wait for the download, or for one more that mends it."""
        done = await download
        self._transferred = self._now()
        return done

    def result(
        self, mod_id: bytes, download: DownloadResult, written: Assembled, stats: FetchStats
    ) -> GetResult:
        """What the `get` tells, which ends now."""
        fetched, first = download.bytes_fetched, self._first_byte
        transfer_s = self._transferred - self._began(download, stats)
        return GetResult(
            mod_id=mod_id,
            name=download.contents.name if download.contents else "",
            path=str(written.path),
            files=written.files,
            bytes=written.bytes,
            bytes_fetched=fetched,
            seconds=self._now() - self._started,
            first_byte_ms=(first - self._started) * 1000 if first is not None else None,
            lookup_ms=stats.lookup_ms,
            connect_ms=stats.connect_ms,
            transfer_MBps=fetched / transfer_s / 1e6 if fetched else None,
            record_hops=stats.record_hops,
            signaled_via=tuple(stats.signaled_via),
            sources=tuple(download.bytes_from),
            banned=tuple(download.banned),
        )

    def _began(self, download: DownloadResult, stats: FetchStats) -> float:
        """When it began: with the first link, unless an origin served (its name is a URL)."""
        if stats.linked_at is None or any("/" in name for name in download.bytes_from):
            return self._started
        return max(stats.linked_at, self._started)
