"""Networks, routers and pairs of addresses in words for a player."""

from protocol.causes.tried import CandidateType, CheckOutcome, KnownSide
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind

LEARNED: dict[CandidateType, str] = {
    CandidateType.HOST: "its own address",
    CandidateType.SERVER_REFLEXIVE: "as others see it",
    CandidateType.PEER_REFLEXIVE: "as the other end sees it",
    CandidateType.RELAYED: "a relay's address",
}
"""How the address of an end was learned."""

OUTCOMES: dict[CheckOutcome, str] = {
    CheckOutcome.NOT_TRIED: "not tried",
    CheckOutcome.NO_ANSWER: "no answer",
    CheckOutcome.REFUSED: "refused",
    CheckOutcome.ANSWERED: "answered",
}

_MAPPINGS: dict[MappingKind, str] = {
    MappingKind.UNKNOWN: "router not known yet",
    MappingKind.NONE: "no router that changes addresses",
    MappingKind.ENDPOINT_INDEPENDENT: "a router that keeps one port for all contacts",
    MappingKind.ENDPOINT_DEPENDENT: "a router that takes an unpredictable port for each contact",
    MappingKind.SEQUENTIAL: "a router that takes another port for each contact, which can be "
    "predicted",
}

_FILTERINGS: dict[FilteringKind, str] = {
    FilteringKind.UNKNOWN: "whom it lets in is not known yet",
    FilteringKind.ENDPOINT_INDEPENDENT: "anyone is let in",
    FilteringKind.DEPENDENT: "only answers are let in",
}


def router(nat: NatKind) -> str:
    """A router in words."""
    if nat == NatKind():
        return _MAPPINGS[MappingKind.UNKNOWN]
    return f"{_MAPPINGS[nat.mapping]}; {_FILTERINGS[nat.filtering]}"


def side(known: KnownSide | None) -> str:
    """The network of one side in words."""
    if known is None:
        return "not known"
    families = " and ".join(f"IPv{family}" for family in known.families) or "no address"
    return f"{families}; {router(known.nat)}"
