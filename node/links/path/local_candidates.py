"""The candidates of this node for a link, known at once: nothing is gathered (RFC 8445, 5.1.1)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from node.interfaces import WILDCARDS
from protocol import limits
from protocol.addresses import Address, is_shareable
from protocol.ice.candidates import CandidateKind, LocalCandidate
from protocol.reachability.network_view import NetworkView

_REFLEXIVE_MAX: Final = 3
"""Places of a description for addresses that only others see."""


def host_candidates(
    bound: Mapping[int, Address], own_hosts: Sequence[str]
) -> Iterator[LocalCandidate]:
    """Every address by which the bound sockets are reached from the same network, in order.

    `bound` has a socket's address for each family, `own_hosts` the machine's IP literals. A socket
    that is bound to one address has no other.
    """
    for base in bound.values():
        if base.host not in WILDCARDS:
            yield LocalCandidate(CandidateKind.HOST, base, base)
    for host in own_hosts:
        wildcard = bound.get(6 if ":" in host else 4)
        if wildcard is not None and wildcard.host in WILDCARDS and is_shareable(host):
            yield LocalCandidate(CandidateKind.HOST, Address(host, wildcard.port), wildcard)


def reflexive_candidates(
    bound: Mapping[int, Address], view: NetworkView
) -> Iterator[LocalCandidate]:
    """The addresses that others see, or that the router forwards to us, in order."""
    if view.upnp is not None and 4 in bound:
        yield LocalCandidate(CandidateKind.SERVER_REFLEXIVE, view.upnp.address, bound[4])
    for family, base in bound.items():
        for seen in view.of(family).reflexive:
            yield LocalCandidate(CandidateKind.SERVER_REFLEXIVE, seen.address, base)


class LocalCandidates:
    """Names the candidates of the sockets in `bound`, by family, whenever it is asked."""

    def __init__(
        self,
        bound: Mapping[int, Address],
        host_addresses: Callable[[], Sequence[str]],
        view: Callable[[], NetworkView],
    ) -> None:
        self._bound = bound
        self._host_addresses = host_addresses
        self._view = view

    def now(self) -> list[LocalCandidate]:
        """At most CANDIDATES, host candidates first, each address once."""
        hosts = {one.address: one for one in host_candidates(self._bound, self._host_addresses())}
        seen = {
            one.address: one
            for one in reflexive_candidates(self._bound, self._view())
            if one.address not in hosts
        }
        reflexive = list(seen.values())[:_REFLEXIVE_MAX]
        return [*list(hosts.values())[: limits.CANDIDATES - len(reflexive)], *reflexive]
