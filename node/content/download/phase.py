"""What sources are asked for at present: the part of a download that its phases have in common."""

import asyncio
from typing import Generic, TypeVar

from node.content.download.source import Source
from node.content.progress import Progress
from protocol.content.frames import ContentAnswer
from protocol.errors import Unexpected

_Result = TypeVar("_Result")


class DownloadPhase(Generic[_Result]):
    """The questions that sources are asked now; done when `result` is."""

    def __init__(self) -> None:
        self.result: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()

    def finish(self, result: _Result) -> None:
        """Settle the phase's result, once."""
        if not self.result.done():
            self.result.set_result(result)

    def began(self, source: Source) -> None:
        """A source was found, and its stream begun: it has not said whether it has the mod."""

    def joined(self, source: Source) -> None:
        """A source can be asked; raises RemoteError if what it claims is impossible."""

    def left(self, source: Source, *, banned: bool) -> None:
        """A source can no longer be asked."""

    def answered(self, source: Source, answer: ContentAnswer) -> None:
        """An answer came; raises RemoteError if it breaks a rule."""
        raise Unexpected(f"{type(answer).__name__} was not asked for")

    def reviewed(self, now: float) -> None:
        """A moment has passed."""

    def is_stuck(self, now: float) -> bool:
        """Whether nothing more can come from the sources that are left."""
        raise NotImplementedError

    def is_starved(self) -> bool:
        """Whether nothing is asked of any source, though something is missing."""
        raise NotImplementedError

    def progress(self) -> Progress:
        """How far it is."""
        raise NotImplementedError
