"""What contacts do with dates, and when that decides that this node's clock is off.

Their time contacts tell in answers to PINGs (`clock_times`). But they also refuse what this node
has dated, as of the future or as past its expiry, or take it; and what they keep of others is in
the future by our clock, or is not.

On each of the two questions a network has one voice, its latest. A clock is called wrong by more
than half of the networks that have spoken on a question, and by CLOCK_SIGNS_MIN of them. That what
they sent is in the future they must say so of as many keys: the date of a record is its publisher's
word, and as many networks as keep it repeat that.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import NamedTuple

from protocol import limits


class ClockSign(Enum):
    """What a contact did with a date of ours, or which dates it sent."""

    TAKEN = "it took what this node had dated"
    REFUSED_AS_FUTURE = "it refused that as issued in the future"
    REFUSED_AS_EXPIRED = "it refused that as past its expiry"
    SENT_IN_TIME = "what it sent is timely by our clock"
    SENT_FROM_FUTURE = "what it sent is in the future by our clock"


class ClockVerdict(StrEnum):
    """Whether the clock is off, by more than CLOCK_SKEW_S. The value is the name in JSON."""

    NO_SIGN = "no_sign"
    """No network says so, or at most as many as may lie."""
    PERHAPS_AHEAD = "perhaps_ahead"
    """At least half of those who have spoken say so, and they are too few to decide."""
    PERHAPS_BEHIND = "perhaps_behind"
    AHEAD = "ahead"
    BEHIND = "behind"


@dataclass(frozen=True, slots=True)
class ClockView:
    """What is known of the clock: the verdict, and how many networks say so of those that spoke.

    `ahead_s` is by how many seconds it is ahead (negative: behind) by their word; None where that
    is not known. `corrected`: whether the node dates and judges by their time.
    """

    verdict: ClockVerdict = ClockVerdict.NO_SIGN
    said: int = 0
    heard: int = 0
    ahead_s: float | None = None
    corrected: bool = False


class _Voice(NamedTuple):
    sign: ClockSign
    keys: tuple[bytes, ...]
    at: float


class _Question:
    """The voices of networks on one question, the oldest first.

    `of_keys`: they tell of what is kept under keys, of which several must show the same.
    """

    def __init__(self, *, of_keys: bool) -> None:
        self._of_keys = of_keys
        self._voices: dict[bytes, _Voice] = {}

    def note(self, network: bytes, sign: ClockSign, key: bytes, now: float) -> None:
        before = self._voices.pop(network, None)
        keys: tuple[bytes, ...] = (key,)
        if before is not None and before.sign is sign:
            keys = (*(one for one in before.keys if one != key), key)[-limits.CLOCK_SIGNS_MIN :]
        self._voices[network] = _Voice(sign, keys, now)
        if len(self._voices) > limits.CLOCK_VOICES:
            del self._voices[next(iter(self._voices))]

    def view(self, sign: ClockSign, off: "_Off", now: float) -> ClockView:
        """The verdict that follows from those who gave this sign."""
        heard = [one for one in self._voices.values() if now - one.at < limits.CLOCK_VOICE_S]
        said = [one for one in heard if one.sign is sign]
        verdict = ClockVerdict.NO_SIGN
        if said and 2 * len(said) >= len(heard):
            decides = 2 * len(said) > len(heard) and self._are_enough(said)
            verdict = off.certain if decides else off.perhaps
        return ClockView(verdict, len(said), len(heard))

    def _are_enough(self, said: list[_Voice]) -> bool:
        if not self._of_keys:
            return len(said) >= limits.CLOCK_SIGNS_MIN
        networks = Counter(key for one in said for key in one.keys)
        of_enough = [key for key, count in networks.items() if count >= limits.CLOCK_SIGNS_MIN]
        return len(of_enough) >= limits.CLOCK_SIGNS_MIN


class _Off(NamedTuple):
    """The two verdicts of one direction."""

    certain: ClockVerdict
    perhaps: ClockVerdict


_AHEAD = _Off(ClockVerdict.AHEAD, ClockVerdict.PERHAPS_AHEAD)
_BEHIND = _Off(ClockVerdict.BEHIND, ClockVerdict.PERHAPS_BEHIND)

_CERTAIN = frozenset({ClockVerdict.AHEAD, ClockVerdict.BEHIND})


class ClockSigns:
    """The signs that contacts gave. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._of_ours = _Question(of_keys=False)
        self._of_theirs = _Question(of_keys=True)

    def note(self, network: bytes, sign: ClockSign, now: float, *, key: bytes = b"") -> None:
        """A contact of this network gave a sign; `key`: under which it keeps what it sent."""
        is_sent = sign in (ClockSign.SENT_IN_TIME, ClockSign.SENT_FROM_FUTURE)
        question = self._of_theirs if is_sent else self._of_ours
        question.note(network, sign, key, now)

    def view(self, now: float) -> ClockView:
        """What is known now; signs of both directions contradict each other, and tell nothing."""
        views = [
            self._of_ours.view(ClockSign.REFUSED_AS_FUTURE, _AHEAD, now),
            self._of_ours.view(ClockSign.REFUSED_AS_EXPIRED, _BEHIND, now),
            self._of_theirs.view(ClockSign.SENT_FROM_FUTURE, _BEHIND, now),
        ]
        telling = [one for one in views if one.verdict is not ClockVerdict.NO_SIGN]
        telling = [one for one in telling if one.verdict in _CERTAIN] or telling
        if len({one.verdict for one in telling}) == 1:
            return telling[0]
        return ClockView(heard=max(one.heard for one in views))
