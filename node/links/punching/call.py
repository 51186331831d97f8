"""What an attempt knows of its call when it begins to punch, and the plan that follows."""

from dataclasses import dataclass

from protocol.description import Description, IceCandidate
from protocol.ice.candidates import CandidateKind
from protocol.identity import PeerId
from protocol.punching.plan import PunchPlan, Side, plan_of_callee, plan_of_caller


@dataclass(frozen=True, slots=True)
class PunchCall:
    """Both descriptions, and who called. `answer_takes_s` is known to the callee."""

    own: Description
    peer: Description
    own_id: PeerId
    peer_id: PeerId
    offer_id: bytes
    outgoing: bool
    answer_takes_s: float

    def plan(self, opener_families: frozenset[int]) -> PunchPlan:
        """What our side does; openers leave in these families."""
        own = Side(self.own.nat, _destinations(self.peer))
        peer = Side(self.peer.nat, _destinations(self.own))
        if self.outgoing:
            return plan_of_caller(own, peer)
        return plan_of_callee(
            own,
            peer,
            opener_families=opener_families,
            answer_takes_s=self.answer_takes_s,
            same_network=bool(_outside_hosts(self.own) & _outside_hosts(self.peer)),
        )


def _is_direct(candidate: IceCandidate) -> bool:
    return candidate.kind != CandidateKind.RELAYED and candidate.address.family == 4


def _destinations(description: Description) -> int:
    """How many of its addresses another side sends to through a router of IPv4."""
    return max(1, sum(map(_is_direct, description.candidates)))


def _outside_hosts(description: Description) -> frozenset[str]:
    return frozenset(
        one.address.host
        for one in description.candidates
        if one.kind == CandidateKind.SERVER_REFLEXIVE
    )
