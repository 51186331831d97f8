"""The queue of downloads in the home: `downloads.json`, mode 0600, as links hold keys.

Of a download that is done the key is not kept. A file that is damaged or cannot be read is put
aside under a name that is told, and the queue begins anew: no mod is lost with it.
"""

import contextlib
import json
import logging
from pathlib import Path
from typing import Any

from node.answers.downloads import DownloadState, Priority
from node.content.download.bounds import SizeBound
from node.content.queue.entry import DownloadEntry, DownloadRequest
from node.disk.reserve import Reserve
from node.files import write_atomically
from node.machine.refusals import reason_of
from protocol import limits
from protocol.content.link import ModLink
from protocol.errors import BadLink, DiskError
from protocol.texts.links import link_in

_log = logging.getLogger(__name__)

_FORMAT = 1
_MAX_BYTES = 2**25


class QueueFile:
    """Reads and writes the file at `path`. Blocking, a few milliseconds."""

    def __init__(self, path: Path, reserve: Reserve) -> None:
        self._path = path
        self._reserve = reserve
        self._links: dict[ModLink, str] = {}
        """Of what was written last: their checksums are most of the work of a write."""
        self._kept: bytes | None = None
        """What is in the file, as far as it was told."""

    def read(self) -> list[DownloadEntry]:
        """The downloads of the last run, in their order; none where there is no readable file."""
        try:
            with self._path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._put_aside(f"cannot be read: {reason_of(error)}")
            return []
        try:
            told = json.loads(data)
            if told["format"] != _FORMAT:
                raise ValueError("another format")
            entries = [_entry(one) for one in told["downloads"][: limits.DOWNLOADS_QUEUED]]
            if len({entry.number for entry in entries}) < len(entries):
                raise ValueError("two downloads with one number")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BadLink):
            self._put_aside("is damaged")
            return []
        self._kept = data
        return entries

    def write(self, entries: list[DownloadEntry]) -> None:
        """Keep these, also on a full disk; raises DiskError, and then the file is as before."""
        kept = [(entry, _kept_link(entry)) for entry in entries]
        links = self._links = {link: self._links.get(link) or str(link) for _, link in kept}
        told = {"format": _FORMAT, "downloads": [_told(entry, links[link]) for entry, link in kept]}
        data = json.dumps(told).encode()
        try:
            self._reserve.spending(lambda: write_atomically(self._path, data))
        except DiskError:
            self._take_back(data)
            raise
        self._kept = data

    def _take_back(self, refused: bytes) -> None:
        """Let the file not say what was refused, of which the disk only did not say it is safe."""
        with contextlib.suppress(OSError, DiskError):
            if self._path.read_bytes() != refused:
                return
            if self._kept is None:
                self._path.unlink()
            else:
                write_atomically(self._path, self._kept)

    def _put_aside(self, why: str) -> None:
        """Let the next write not be over it, `why` it cannot be used."""
        aside = self._path.with_name(f"{self._path.name}.damaged")
        try:
            self._path.replace(aside)
        except OSError as error:
            _log.warning("%s %s, and the queue is empty: %s", self._path, why, error)
        else:
            _log.warning(
                "%s %s: it is now %s, and the queue of downloads is empty; give the"
                " commands again, and what has arrived is not fetched again",
                *(self._path, why, aside.name),
            )


def _kept_link(entry: DownloadEntry) -> ModLink:
    link = entry.request.link
    return ModLink(link.mod_id) if entry.state is DownloadState.DONE else link


def _told(entry: DownloadEntry, link: str) -> dict[str, Any]:
    request = entry.request
    # One that was under way waits for its turn when the node starts again.
    is_active = entry.state is DownloadState.ACTIVE
    return {
        "id": entry.number,
        "link": link,
        "to": None if request.target is None else str(request.target),
        "into": None if request.into is None else str(request.into),
        "max_bytes": request.bound.max_bytes,
        "agreed": request.bound.agreed,
        "wait_s": request.wait_s,
        "priority": entry.priority.value,
        "by_get": entry.by_get,
        "added": entry.added,
        "state": DownloadState.WAITING.value if is_active else entry.state.value,
        "reason": entry.reason,
        "name": entry.name,
        "path": entry.path,
    }


def _entry(told: dict[str, Any]) -> DownloadEntry:
    """Raises ValueError, KeyError, TypeError, AttributeError, BadLink for what is damaged."""
    if (told["to"] is None) == (told["into"] is None):
        raise ValueError("one place is needed")
    request = DownloadRequest(
        link=link_in(told["link"]),
        target=None if told["to"] is None else Path(told["to"]),
        into=None if told["into"] is None else Path(told["into"]),
        bound=SizeBound(int(told["max_bytes"]), agreed=bool(told["agreed"])),
        wait_s=float(told["wait_s"]),
        priority=Priority(told["priority"]),
    )
    return DownloadEntry(
        number=int(told["id"]),
        request=request,
        by_get=bool(told["by_get"]),
        added=float(told["added"]),
        state=DownloadState(told["state"]),
        reason=str(told["reason"]),
        name=str(told["name"]),
        path=str(told["path"]),
        has_begun=True,
    )
