"""What a network is for a player, from all that its node may know."""

from dataclasses import replace

import pytest

from protocol.addresses import Address
from protocol.causes.network_kind import (
    NETWORKS,
    NetworkKind,
    NetworkSigns,
    UpnpAnswer,
    network_kind,
)
from protocol.reachability.network_view import (
    FamilyView,
    FilteringKind,
    MappingKind,
    NatKind,
    NetworkView,
    ReflexiveAddress,
    Verdict,
)

SEEN = (ReflexiveAddress(Address("192.0.2.1", 4001), proved=True),)


def behind(mapping: MappingKind, verdict: Verdict = Verdict.NOT_PUBLIC) -> FamilyView:
    nat = NatKind(mapping, FilteringKind.DEPENDENT)
    return FamilyView(verdict, nat, mapping is not MappingKind.NONE, SEEN)


def signs(family: FamilyView | None = None, **changes: object) -> NetworkSigns:
    view = NetworkView({4: family} if family is not None else {4: FamilyView()})
    made = NetworkSigns(
        view=view,
        upnp=UpnpAnswer.NO_ANSWER,
        on_loopback=False,
        has_address=True,
        asked=4,
        contacts=9,
        distant=8,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_every_kind_is_explained() -> None:
    assert set(NETWORKS) == set(NetworkKind)
    assert len({kind.sentence for kind in NetworkKind}) == len(NetworkKind)
    for kind in NetworkKind:
        assert kind.sentence[0].islower()
        assert kind.sentence[-1] not in ".!?"
        assert kind.advice == "" or kind.advice.endswith(".")


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (signs(on_loopback=True, has_address=False), NetworkKind.LOOPBACK),
        (signs(has_address=False), NetworkKind.NO_ADDRESS),
        (signs(contacts=0, asked=0), NetworkKind.ALONE),
        (signs(contacts=0, asked=0, upnp=UpnpAnswer.FORWARDS), NetworkKind.FIRST),
        (signs(contacts=0, asked=3, hidden=True), NetworkKind.UDP_BLOCKED),
        (signs(behind(MappingKind.UNKNOWN), hidden=True, unreachable=True), NetworkKind.HIDDEN),
        (signs(behind(MappingKind.UNKNOWN), unreachable=True), NetworkKind.UNREACHABLE),
        (signs(behind(MappingKind.UNKNOWN), by_stream=True, hidden=True), NetworkKind.BY_STREAM),
        (signs(by_stream=True, contacts=0), NetworkKind.UDP_BLOCKED),
        (signs(contacts=0, asked=1), NetworkKind.NOTHING_ANSWERS),
        (signs(contacts=0, asked=3), NetworkKind.UDP_BLOCKED),
        (signs(behind(MappingKind.NONE, Verdict.PUBLIC)), NetworkKind.PUBLIC),
        (
            signs(behind(MappingKind.ENDPOINT_INDEPENDENT, Verdict.PUBLIC)),
            NetworkKind.PUBLIC,
        ),
        (
            signs(
                behind(MappingKind.ENDPOINT_INDEPENDENT, Verdict.PUBLIC), upnp=UpnpAnswer.FORWARDS
            ),
            NetworkKind.OPENED_ROUTER,
        ),
        (signs(behind(MappingKind.ENDPOINT_INDEPENDENT)), NetworkKind.ROUTER),
        (
            signs(behind(MappingKind.ENDPOINT_INDEPENDENT), upnp=UpnpAnswer.FORWARDS),
            NetworkKind.FORWARDING_IN_VAIN,
        ),
        (
            signs(
                behind(MappingKind.ENDPOINT_INDEPENDENT, Verdict.UNKNOWN), upnp=UpnpAnswer.FORWARDS
            ),
            NetworkKind.FORWARDING_UNTESTED,
        ),
        (
            signs(behind(MappingKind.ENDPOINT_DEPENDENT), upnp=UpnpAnswer.PRIVATE_OUTSIDE),
            NetworkKind.DOUBLE_NAT,
        ),
        (signs(behind(MappingKind.ENDPOINT_DEPENDENT)), NetworkKind.RANDOM_ROUTER),
        (signs(behind(MappingKind.SEQUENTIAL)), NetworkKind.COUNTING_ROUTER),
        (signs(behind(MappingKind.UNKNOWN, Verdict.UNKNOWN)), NetworkKind.UNKNOWN_ROUTER),
        (signs(behind(MappingKind.NONE)), NetworkKind.FIREWALL),
        (signs(), NetworkKind.NOT_TESTED),
        (signs(distant=0), NetworkKind.LOCAL),
    ],
)
def test_signs_make_one_kind(found: NetworkSigns, kind: NetworkKind) -> None:
    assert network_kind(found) is kind


def test_public_by_either_family_is_public() -> None:
    view = NetworkView({4: behind(MappingKind.ENDPOINT_DEPENDENT), 6: FamilyView(Verdict.PUBLIC)})
    assert network_kind(replace(signs(), view=view)) is NetworkKind.PUBLIC


@pytest.mark.parametrize("verdict", Verdict)
def test_ipv6_alone_is_told_unless_the_network_translates(verdict: Verdict) -> None:
    v6 = behind(MappingKind.NONE, verdict)
    alone = NetworkView({6: v6}, needs_nat64=True)
    assert network_kind(replace(signs(), view=alone)) is NetworkKind.IPV6_ALONE
    translated = NetworkView({4: behind(MappingKind.ENDPOINT_INDEPENDENT), 6: v6}, needs_nat64=True)
    assert network_kind(replace(signs(), view=translated)) is not NetworkKind.IPV6_ALONE
