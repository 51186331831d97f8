"""How many nodes a network has, by how close the nearest ones to random targets are.

Ids are hashes and so spread evenly: with N nodes the gap from a target to its k-th nearest is about
k / N of the id space. Of m targets with k distances each, (sum of counts - 1) over the summed gaps
is the unbiased estimate, with a relative error of about 1 / sqrt(m * k).
"""

from collections.abc import Iterable, Sequence

from protocol import limits

_ID_SPACE = 1 << 8 * limits.ID_BYTES


def network_size(found: Iterable[tuple[int, Sequence[int]]]) -> float | None:
    """The number of nodes from (target, ids of its nearest nodes, nearest first); None of nothing.

    Ids and targets are numbers of 160 bits. A network in which every node is among the nearest is
    its own count.
    """
    counted, gaps = 0, 0
    for target, nearest in found:
        if nearest:
            counted += len(nearest)
            gaps += nearest[-1] ^ target
    return (counted - 1) * _ID_SPACE / gaps if gaps and counted > 1 else None
