"""Why no holder of a mod could be reached: each failure, and one sentence for all of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.causes.cause import Cause
from protocol.errors import ModswarmError, NetworkError, NoSources
from protocol.identity import PeerId


@dataclass(frozen=True, slots=True)
class HolderFailure:
    """Why there is no link to one holder: the error's name, its message and its cause."""

    peer_id: PeerId
    name: str
    message: str
    cause: Cause | None

    @classmethod
    def of(cls, peer_id: PeerId, error: ModswarmError) -> "HolderFailure":
        """The failure that an error says."""
        cause = error.cause if isinstance(error, NetworkError) else None
        return cls(peer_id, error.name, str(error), cause)

    @property
    def reason(self) -> str:
        """What is the matter, as part of a sentence."""
        return self.cause.sentence if self.cause else self.message


class HoldersUnreachable(NoSources):
    """No link to any holder of a mod opened. `cause` is that of most of the failures."""

    def __init__(self, failures: Sequence[HolderFailure]) -> None:
        self.failures = tuple(failures)
        reasons = Counter(one.reason for one in failures)
        ((most, _),) = reasons.most_common(1)
        cause = next(one.cause for one in failures if one.reason == most)
        super().__init__(_sentence(reasons), cause=cause)


def _sentence(reasons: Counter[str]) -> str:
    if reasons.total() == 1:
        return (
            f"the only node that is known to share this mod is not reached: {next(iter(reasons))}"
        )
    told = "; ".join(f"{reason} ({count} of them)" for reason, count in reasons.most_common())
    return (
        f"none of the {reasons.total()} nodes that are known to share this mod is reached: {told}"
    )
