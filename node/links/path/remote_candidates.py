"""In which order the addresses of a peer are checked first."""

from collections.abc import Iterable, Sequence

from protocol.addresses import Address
from protocol.description import IceCandidate
from protocol.ice.candidates import CandidateKind, is_local_network


def in_order(theirs: Sequence[IceCandidate], ours: Iterable[Address]) -> list[IceCandidate]:
    """A peer's candidates, those first that are the likelier to answer.

    `ours` are our server-reflexive addresses. A peer that has none of their hosts is most likely in
    another network, where its private addresses lead nowhere: each would cost the time between two
    checks, and a port of a router that counts, before the check that opens the link.
    """
    outside = {one.address.host for one in theirs if one.kind == CandidateKind.SERVER_REFLEXIVE}
    hosts = {address.host for address in ours}
    if not outside or not hosts or outside & hosts:
        return list(theirs)
    return sorted(theirs, key=lambda one: is_local_network(one.address.host))
