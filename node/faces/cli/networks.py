"""Networks, routers and pairs of addresses in words for a player."""

from typing import Any

from node.faces.cli import output
from protocol.causes.network_kind import UpnpAnswer
from protocol.causes.tried import KnownSide
from protocol.ice.candidates import CandidateKind
from protocol.punching.pairs import Way
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind, Verdict

LEARNED: dict[CandidateKind, str] = {
    CandidateKind.HOST: "its own address",
    CandidateKind.SERVER_REFLEXIVE: "as others see it",
    CandidateKind.PEER_REFLEXIVE: "as the other end sees it",
    CandidateKind.RELAYED: "the relay",
}
"""How the address of an end was learned."""

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
    FilteringKind.ENDPOINT_INDEPENDENT: "datagrams of all hosts are let in",
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
    families = " and ".join(f"IPv{family}" for family in known.families) or "no address told"
    return f"{families}; {router(known.nat)}"


_WAYS: dict[Way, str] = {
    Way.OPEN: "a direct path at once, because one side lets in datagrams of all hosts",
    Way.PUNCH: "a direct path, which both sides open at the same time",
    Way.PREDICTION: "a direct path, if the next port of a router is predicted",
    Way.BIRTHDAY: "a direct path after many tries of ports, else a relay",
    Way.RELAY: "only through a relay",
}

_UPNP: dict[UpnpAnswer, str] = {
    UpnpAnswer.OFF: "switched off",
    UpnpAnswer.NOT_ASKED: "no answer yet; it is asked only where a router has been noticed",
    UpnpAnswer.NO_ANSWER: "no router answers",
    UpnpAnswer.REFUSED: "no port is forwarded",
    UpnpAnswer.PRIVATE_OUTSIDE: "the router has a private address itself: there is another one",
    UpnpAnswer.FORWARDS: "the router forwards a port",
}

_VERDICTS: dict[Verdict, str] = {
    Verdict.UNKNOWN: "not known yet whether other nodes reach it unasked",
    Verdict.PUBLIC: "other nodes reach it unasked",
    Verdict.NOT_PUBLIC: "only answers come in",
}


def expected(way: str | None) -> str:
    """How two networks are expected to link, by the name in JSON."""
    return "not known, for too little is known of a router" if way is None else _WAYS[Way(way)]


def upnp(told: dict[str, Any]) -> str:
    """What the router said, by the API's report."""
    answer = UpnpAnswer(told["upnp"])
    details = {UpnpAnswer.FORWARDS: "upnp_address", UpnpAnswer.REFUSED: "upnp_refusal"}
    detail = told[details[answer]] if answer in details else None
    parts = [f"{_UPNP[answer]}: {detail}" if detail else _UPNP[answer]]
    if answer is UpnpAnswer.FORWARDS:
        if ports := told["upnp_tcp_ports"]:
            parts.append(f"and TCP for nodes without UDP: {', '.join(map(str, ports))}")
        parts += told["upnp_tcp_refusals"]
    return "; ".join(parts)


def family(told: dict[str, Any]) -> str:
    """One address family of the API's report."""
    if not told["hosts"]:
        return "this computer has no such address"
    parts = [", ".join(told["hosts"])]
    if not told["listening"]:
        return f"{parts[0]}; the node does not listen there"
    parts.append(_VERDICTS[Verdict[told["verdict"].upper()]])
    mapping = MappingKind[told["mapping"].upper()]
    if mapping is not MappingKind.UNKNOWN:
        parts.append(_MAPPINGS[mapping])
    if told["seen"]:
        parts.append("others see " + ", ".join(map(_seen, told["seen"])))
    return "; ".join(parts)


def _seen(told: dict[str, Any]) -> str:
    return f"{told['address']}" if told["proved"] else f"{told['address']} (one contact's word)"


def clock(told: dict[str, Any]) -> str:
    """Whether the clock is off, by the API's report of it."""
    if told["sentence"]:
        return str(told["sentence"])
    return "no sign that it is off"


def without_udp(streams: dict[str, Any]) -> str:
    """By which nodes this one goes while UDP is silent, or why by none."""
    if streams["gateways"]:
        return f"UDP is silent, so by TLS through {' and '.join(streams['gateways'])}"
    return "; ".join(streams["failures"]) or "not needed"


def line(told: dict[str, Any]) -> str:
    """How soon others answer, and what it means where that is late."""
    if told.get("round_trip_ms") is None:
        return "not known, as no other node has answered"
    nearest = f"the nearest contacts answer after {output.duration(told['round_trip_ms'] / 1000)}"
    if not told["slow_line"]:
        return nearest
    return f"slow: even {nearest}. Joining, links and downloads take longer, and may do so"
