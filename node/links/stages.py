"""The steps to a link, and how long each took."""

from enum import StrEnum


class Stage(StrEnum):
    """The steps to a link, in order."""

    CALL = "call"
    ICE = "ice"
    DTLS = "dtls"
    SCTP = "sctp"
    SESSION = "session"


class StageClock:
    """When each stage of one attempt began; times are seconds of the loop's clock."""

    def __init__(self) -> None:
        self._began: dict[Stage, float] = {}
        self.current = Stage.ICE
        """An attempt that has no address to use fails at ICE, before it calls."""

    def begin(self, stage: Stage, now: float) -> None:
        """The stage before is over."""
        self.current = stage
        self._began[stage] = now

    def milliseconds(self, until: float) -> dict[str, float]:
        """The same in milliseconds, by the names of the stages."""
        return {str(stage): 1000 * took_s for stage, took_s in self.seconds(until).items()}

    def seconds(self, until: float) -> dict[Stage, float]:
        """How long each stage that began took; the last one ends at `until`."""
        ends = [*self._began.values(), until][1:]
        return {
            stage: end - began
            for (stage, began), end in zip(self._began.items(), ends, strict=True)
        }
