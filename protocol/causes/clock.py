"""Whether this computer's clock is off, by how much, and what helps, in words for a player."""

from protocol.reachability.clock_signs import ClockVerdict, ClockView

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_EXACT_S = 2 * _MINUTE_S
_EXACT_DAYS = 3

_DIRECTIONS: dict[ClockVerdict, str] = {
    ClockVerdict.AHEAD: "ahead",
    ClockVerdict.BEHIND: "behind",
    ClockVerdict.PERHAPS_AHEAD: "ahead",
    ClockVerdict.PERHAPS_BEHIND: "behind",
}

_CERTAIN = frozenset({ClockVerdict.AHEAD, ClockVerdict.BEHIND})


def clock_sentence(view: ClockView) -> str:
    """What is the matter and what to do, as whole sentences; empty where there is no sign of it."""
    if view.verdict is ClockVerdict.NO_SIGN:
        return ""
    by = "" if view.ahead_s is None else f"{span(abs(view.ahead_s))} "
    of = f"contacts in {view.said} of {view.heard} network{'' if view.heard == 1 else 's'}"
    direction = _DIRECTIONS[view.verdict]
    if view.verdict not in _CERTAIN:
        return (
            f"The clock of this computer may be {by}{direction}: {of} say so, which is too few to "
            "tell whose clock is off. Compare it with another clock; if it is off, let this "
            "computer set it by the internet."
        )
    more = "" if by else " by more than a minute"
    said = f"The clock of this computer is {by}{direction}{more}, by the word of {of}."
    if not view.corrected:
        return (
            f"{said} Let this computer set its clock by the internet: until then others may not "
            "find what this node shares, nor this node what they share, and calls may fail."
        )
    return (
        f"{said} Let this computer set its clock by the internet; until then this node goes by "
        "their time."
    )


def span(seconds: float) -> str:
    """A length of time in the units that matter: 90 s, 17 min, 1 h 2 min, 5 days."""
    whole = round(seconds)
    if whole < _EXACT_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{round(whole / _MINUTE_S)} min"
    if whole >= _EXACT_DAYS * _DAY_S:
        return f"{round(whole / _DAY_S)} days"
    hours, minutes = divmod(round(whole / _MINUTE_S), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
