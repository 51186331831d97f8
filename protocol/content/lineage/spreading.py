"""When followers that heard of a version by links look up who has it.

All of them hear within a moment. If all looked it up at once, all would call its publisher. So each
asks linked peers alone until a time that it draws: those who look it up grow in number as those who
have it do. However many follow, few are the first. A follower waits less if no linked peer follows:
then none of them will have it soon.
"""

from math import log2

from protocol import limits
from protocol.randomness import Random


def look_up_pause_s(rng: Random, *, has_fellows: bool) -> float:
    """For how many seconds one of them asks linked peers alone.

    `has_fellows`: one of these follows the lineage as well.
    """
    doublings = limits.FOLLOW_DOUBLINGS
    alone_s, most_s = limits.FOLLOW_SPREAD_S
    doubled = log2(1 + rng.random() * (2.0**doublings - 1))
    return (most_s if has_fellows else alone_s) * doubled / doublings
