"""The failure of an attempt at a link: its stage, its cause, and what was tried."""

from dataclasses import dataclass

from node.links.stages import Stage
from protocol.causes.cause import Cause
from protocol.causes.tried import KnownSide, TriedPair
from protocol.errors import LinkFailed


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """How far an attempt came. What is known of a side is null where it was not described yet."""

    stage_ms: dict[str, float]
    """How long each stage that began took, the last one until the attempt failed."""
    own: KnownSide | None = None
    peer: KnownSide | None = None
    pairs: tuple[TriedPair, ...] = ()


class LinkAttemptFailed(LinkFailed):
    """A link could not be opened at `stage`. `reason` says what this node saw, without a guess."""

    def __init__(
        self,
        stage: Stage,
        reason: str,
        *,
        cause: Cause | None = None,
        report: AttemptReport | None = None,
    ) -> None:
        self.stage = stage
        self.reason = reason
        self.report = report
        what = cause.sentence if cause else f"it failed at {stage}: {reason}"
        super().__init__(f"no link: {what}", cause=cause)
