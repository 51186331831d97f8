"""The failure of an attempt at a link: its stage, its reason, and what was tried."""

from collections.abc import Sequence

from node.links.stages import Stage
from protocol.errors import LinkFailed


class LinkAttemptFailed(LinkFailed):
    """A link could not be opened; `stage`, `reason` and `tried` say how far it came.

    `tried` holds one line for each pair of addresses, with its outcome.
    """

    def __init__(self, stage: Stage, reason: str, tried: Sequence[str] = ()) -> None:
        self.stage = stage
        self.reason = reason
        self.tried = tuple(tried)
        paths = f"; tried {', '.join(tried)}" if tried else ""
        super().__init__(f"no link, it failed at {stage}: {reason}{paths}")
