"""What users see of each answer, key for key, and that its schema is made from the same class."""

import json
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

import pytest

from node.answers import (
    dht,
    downloads,
    follows,
    lineages,
    mods,
    network,
    pages,
    peers,
    rates,
    status,
    vault,
)
from node.answers.dht import (
    AvailabilityBodyView,
    ContactView,
    CrawlView,
    LookupView,
    PeerBodyView,
    ProviderBodyView,
    RecordsView,
    RecordView,
)
from node.answers.mods import Announcement, GetResult, ModOffer, ModView, Removed, ShareResult
from node.answers.network import ClockReport, FamilyReport, NetworkReport, SeenAddress
from node.answers.pages import PageAnswer, PageServer, PageServers
from node.answers.peers import LinkView, PathView, PeerView, StageTimes
from node.answers.status import NodeIdentity, NodeStatus, RelayStatus, Stopping
from node.content.progress import Progress, SourceRate
from node.faces.api import forms
from node.faces.api.routes import ROUTES
from node.faces.api.schemas import COMPONENTS
from node.faces.api.validation import check
from protocol.addresses import Address
from protocol.causes.network_kind import NetworkKind, UpnpAnswer
from protocol.causes.tried import KnownSide
from protocol.content.link import LineageLink, ModLink
from protocol.ice.candidates import CandidateKind
from protocol.ice.paths.report import PathReason
from protocol.ice.paths.selector import PathClass
from protocol.identity import base32_text, peer_id_text
from protocol.punching.pairs import Way
from protocol.reachability.clock_signs import ClockVerdict, ClockView
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind, Verdict

PEER, OTHER = b"\1" * 20, b"\2" * 20
P, Q = peer_id_text(PEER), peer_id_text(OTHER)
MOD = bytes(range(32))
M = base32_text(MOD)
LINK = ModLink(MOD, bytes(32))
LINEAGE = LineageLink(bytes(32), b"r" * 32)
V4, V6 = Address("192.0.2.1", 4001), Address("2001:db8::1", 4001)

HERE = KnownSide((4, 6), NatKind(MappingKind.ENDPOINT_DEPENDENT, FilteringKind.DEPENDENT), 3)
THERE = KnownSide((), NatKind(), 0)

GOLDEN: list[tuple[object, dict[str, Any]]] = [
    (
        NodeStatus(
            *(PEER, (V4, V6), (f"{V4}/{P}",), 1.23456, True, True, 12.345, 1, 3, (OTHER,), 4, 5, 6),
            {"store_full": 5},
            RelayStatus(True, 1, 2, 3, 4),
            *(7, 8, 9, 10, 11, {"bad_signature": 2}),
            ClockReport.of(ClockView(heard=2)),
        ),
        {
            "peer_id": P,
            "addresses": ["192.0.2.1:4001", "[2001:db8::1]:4001"],
            "bootstrap_addresses": [f"192.0.2.1:4001/{P}"],
            "uptime_s": 1.235,
            "reachable": True,
            "joined": True,
            "join_ms": 12.3,
            "known_nodes": 1,
            "contacts": 3,
            "registrars": [Q],
            "registered_peers": 4,
            "forwarded_calls": 5,
            "records": 6,
            "records_refused": {"store_full": 5},
            "relay": {
                "on": True,
                "allocations": 1,
                "bytes_today": 2,
                "bytes_a_day": 3,
                "rate": 4,
            },
            "links": 7,
            "datagrams_received": 8,
            "datagrams_sent": 9,
            "bytes_received": 10,
            "bytes_sent": 11,
            "refused": {"bad_signature": 2},
            "clock": {
                "verdict": "no_sign",
                "said": 0,
                "heard": 2,
                "ahead_s": None,
                "corrected": False,
                "sentence": "",
            },
            "round_trip_ms": None,
            "slow_line": False,
            "streams": {"listening": [], "served": 0, "gateways": [], "failures": []},
        },
    ),
    (
        NodeIdentity(PEER, MOD, ("a", "b")),
        {"peer_id": P, "public_key": M, "bootstrap_addresses": ["a", "b"]},
    ),
    (
        ModView(MOD, "hats", 3, 2, 10, LINK, 1.5, shared=True, complete=False),
        {
            "mod_id": M,
            "name": "hats",
            "version": 3,
            "files": 2,
            "bytes": 10,
            "link": str(LINK),
            "added": 1.5,
            "shared": True,
            "complete": False,
        },
    ),
    (
        ModView(MOD, "", 0, 0, 0, None, 1.5, shared=False, complete=True),
        {
            "mod_id": M,
            "name": "",
            "version": 0,
            "files": 0,
            "bytes": 0,
            "link": None,
            "added": 1.5,
            "shared": False,
            "complete": True,
        },
    ),
    (
        ShareResult(
            *(MOD, LINK, LINEAGE, ("https://a.example",), "hats", 7, True, 2, 10, 5),
            *(Announcement(3, 4, {"key_full": 1}), 1, ("a/",), ("*.tmp",)),
        ),
        {
            "mod_id": M,
            "link": str(LINK),
            "lineage": str(LINEAGE),
            "origins": ["https://a.example"],
            "name": "hats",
            "version": 7,
            "is_new": True,
            "files": 2,
            "bytes": 10,
            "new_bytes": 5,
            "published": {"confirmed": 3, "asked": 4, "refused": {"key_full": 1}, "cause": None},
            "left_out": 1,
            "left_out_paths": ["a/"],
            "idle_excludes": ["*.tmp"],
        },
    ),
    (
        GetResult(
            *(
                MOD,
                "hats",
                "/out/hats",
                2,
                10,
                5,
                0.25049,
                120.04,
                10.04,
                90.56,
                1.2345,
                2,
                (OTHER,),
            ),
            *((P, Q), (P,)),
        ),
        {
            "mod_id": M,
            "name": "hats",
            "path": "/out/hats",
            "files": 2,
            "bytes": 10,
            "bytes_fetched": 5,
            "seconds": 0.25,
            "first_byte_ms": 120.0,
            "lookup_ms": 10.0,
            "connect_ms": 90.6,
            "transfer_MBps": 1.23,
            "record_hops": 2,
            "signaled_via": [Q],
            "sources": [P, Q],
            "banned": [P],
        },
    ),
    (
        ModOffer(MOD, "hats", 12, 10, 1, 53_258, 5, ("a", "b")),
        {
            "mod_id": M,
            "name": "hats",
            "files": 12,
            "bytes": 10,
            "folders": 1,
            "disk_bytes": 53_258,
            "sealed_bytes": 5,
            "paths": ["a", "b"],
        },
    ),
    (
        PeerView(PEER, "contact", V4, 3.04, 1.55, has=True),
        {
            "peer_id": P,
            "kind": "contact",
            "address": "192.0.2.1:4001",
            "last_seen_s": 3.0,
            "rtt_ms": 1.6,
            "has": True,
        },
    ),
    (
        PeerView(PEER, "provider", None),
        {
            "peer_id": P,
            "kind": "provider",
            "address": None,
            "last_seen_s": None,
            "rtt_ms": None,
            "has": None,
        },
    ),
    (
        LinkView(
            *(
                PEER,
                "outgoing",
                PathClass.DIRECT,
                V4,
                CandidateKind.HOST,
                V6,
                CandidateKind.PEER_REFLEXIVE,
                None,
                (
                    PathView(
                        *(PathClass.STREAM, False, PathReason.ROUND_TRIP, V4),
                        *(CandidateKind.RELAYED, V4, CandidateKind.RELAYED, OTHER),
                        None,
                        0.0625,
                        None,
                    ),
                ),
                20.54,
            ),
            *(StageTimes(None, 1.04, 2.0, 3.0, 4.0), HERE, THERE, Way.BIRTHDAY, (OTHER,)),
            *(3.00049, 100, 2000),
            kept=("a person asked for it",),
        ),
        {
            "peer_id": P,
            "direction": "outgoing",
            "path": "direct",
            "local_address": "192.0.2.1:4001",
            "local_type": "host",
            "remote_address": "[2001:db8::1]:4001",
            "remote_type": "peer_reflexive",
            "relay": None,
            "paths": [
                {
                    "kind": "stream",
                    "selected": False,
                    "reason": "round_trip",
                    "local_address": "192.0.2.1:4001",
                    "local_type": "relayed",
                    "remote_address": "192.0.2.1:4001",
                    "remote_type": "relayed",
                    "relay": Q,
                    "rtt_ms": None,
                    "loss": 0.062,
                    "bytes_per_second": None,
                }
            ],
            "rtt_ms": 20.5,
            "stages": {
                "call_ms": None,
                "ice_ms": 1.0,
                "dtls_ms": 2.0,
                "sctp_ms": 3.0,
                "session_ms": 4.0,
            },
            "own": {
                "families": [4, 6],
                "nat": {
                    "mapping": "endpoint_dependent",
                    "filtering": "dependent",
                    "port_preserved": False,
                    "port_step": 0,
                },
                "relays": 3,
            },
            "peer": {
                "families": [],
                "nat": {
                    "mapping": "unknown",
                    "filtering": "unknown",
                    "port_preserved": False,
                    "port_step": 0,
                },
                "relays": 0,
            },
            "expected": "birthday",
            "signaled_via": [Q],
            "age_s": 3.0,
            "bytes_sent": 100,
            "bytes_received": 2000,
            "kept": ["a person asked for it"],
        },
    ),
    (
        NetworkReport(
            *(NetworkKind.RANDOM_ROUTER, "a sentence", "An advice.", True, 3, 2, 1, 4),
            (
                FamilyReport(
                    *(4, ("192.168.1.2",), True, Verdict.NOT_PUBLIC),
                    *(MappingKind.ENDPOINT_DEPENDENT, FilteringKind.DEPENDENT, False, 0),
                    (SeenAddress(V4, proved=True),),
                ),
            ),
            *(UpnpAnswer.REFUSED, None, "718", (4001,), ("443",), 9, 2, False),
            ClockReport(ClockVerdict.AHEAD, 5, 6, 61.23, True, "a sentence"),
        ),
        {
            "kind": "random_router",
            "sentence": "a sentence",
            "advice": "An advice.",
            "joined": True,
            "contacts": 3,
            "distant_contacts": 2,
            "known_nodes": 1,
            "registrars": 4,
            "families": [
                {
                    "family": 4,
                    "hosts": ["192.168.1.2"],
                    "listening": True,
                    "verdict": "not_public",
                    "mapping": "endpoint_dependent",
                    "filtering": "dependent",
                    "port_preserved": False,
                    "port_step": 0,
                    "seen": [{"address": "192.0.2.1:4001", "proved": True}],
                }
            ],
            "upnp": "refused",
            "upnp_address": None,
            "upnp_refusal": "718",
            "upnp_tcp_ports": [4001],
            "upnp_tcp_refusals": ["443"],
            "relays_known": 9,
            "relays": 2,
            "hides_address": False,
            "clock": {
                "verdict": "ahead",
                "said": 5,
                "heard": 6,
                "ahead_s": 61.2,
                "corrected": True,
                "sentence": "a sentence",
            },
            "round_trip_ms": None,
            "slow_line": False,
            "streams": {"listening": [], "served": 0, "gateways": [], "failures": []},
        },
    ),
    (
        LookupView(bytes(20), 0.5, 12, (ContactView(PEER, V4, None, (OTHER,)),)),
        {
            "target": "00" * 20,
            "seconds": 0.5,
            "requests": 12,
            "closest": [{"peer_id": P, "address": str(V4), "rtt_ms": None, "path": [Q]}],
        },
    ),
    (
        RecordsView(
            *(bytes(20), "peer", 0.5, 12, 1, (PEER,), (OTHER,)),
            (RecordView(PEER, 7, 0, 86400, 159, PeerBodyView((V4,), 1, (1, 2), 3)),),
        ),
        {
            "key": "00" * 20,
            "kind": "peer",
            "seconds": 0.5,
            "requests": 12,
            "hops": 1,
            "holders": [P],
            "registrars": [Q],
            "records": [
                {
                    "publisher": P,
                    "sequence": 7,
                    "issued": 0,
                    "expires": 86400,
                    "bytes": 159,
                    "body": {
                        "addresses": [str(V4)],
                        "capabilities": 1,
                        "versions": [1, 2],
                        "shard_bits": 3,
                    },
                }
            ],
        },
    ),
    (ProviderBodyView(MOD, complete=True), {"mod_id": M, "complete": True}),
    (AvailabilityBodyView(1, 0, 9), {"shard_bits": 1, "shard": 0, "capacity": 9}),
    (
        CrawlView(2.5, 9, 9, 7, 2, True, 8, {1: 7}, {4: 6, 6: 1}, 12.54),
        {
            "seconds": 2.5,
            "named": 9,
            "asked": 9,
            "answered": 7,
            "silent": 2,
            "whole": True,
            "size_estimate": 8,
            "versions": {"1": 7},
            "families": {"4": 6, "6": 1},
            "rtt_p50_ms": 12.5,
        },
    ),
    (Removed(MOD), {"removed": M}),
    (Stopping(stopping=True), {"stopping": True}),
    (
        PageAnswer(PEER, bytes(2), b"\x01\xff", "v=0\r\n"),
        {"peer_id": P, "key": "0000", "session": "01ff", "sdp": "v=0\r\n"},
    ),
    (
        PageServers((PageServer(("turn:192.0.2.1:4001",), "9:page", "secret"),), 3600),
        {
            "ice_servers": [
                {"urls": ["turn:192.0.2.1:4001"], "username": "9:page", "credential": "secret"}
            ],
            "expires_in_s": 3600,
        },
    ),
    (
        Progress("chunks", 4, 1, 10, 5, 5, 1),
        {
            "stage": "chunks",
            "chunks_total": 4,
            "chunks_done": 1,
            "bytes_total": 10,
            "bytes_done": 5,
            "bytes_fetched": 5,
            "sources": 1,
            "holders": 0,
            "linking": 0,
            "linking_with": "",
            "unanswered": 0,
            "waiting_for": [],
            "lost": 0,
            "wait_left_s": 0.0,
            "bytes_per_second": 0,
            "left_s": None,
            "rates": [],
            "silent_s": 0,
        },
    ),
]


@pytest.mark.parametrize(("answer", "told"), GOLDEN, ids=lambda one: type(one).__name__)
def test_an_answer_keeps_its_keys_their_order_and_its_values(
    answer: object, told: dict[str, Any]
) -> None:
    assert json.dumps(forms.to_json(answer)) == json.dumps(told)
    check(told, forms.schema_of(type(answer)), COMPONENTS)


LEAVES = {Progress, SourceRate, ClockView, LineageLink, ModLink, KnownSide, NatKind}
"""Of other rooms, or written as text."""


def test_every_class_of_answers_is_shown_by_a_route() -> None:
    shown: set[type] = set()

    def walk(hint: Any) -> None:
        if is_dataclass(hint) and isinstance(hint, type):
            shown.add(hint)
            for inner in get_type_hints(hint).values():
                walk(inner)
        for inner in getattr(hint, "__args__", ()):
            walk(inner)

    for route in ROUTES:
        walk(get_type_hints(route.verb)["return"])
    rooms = (
        *(status, mods, network, pages, peers, dht, rates, downloads, vault),
        follows,
        lineages,
    )
    assert shown - LEAVES == {
        one
        for room in rooms
        for one in vars(room).values()
        if is_dataclass(one) and isinstance(one, type) and one.__module__ == room.__name__
    }


def test_components_are_required_and_described_as_their_classes_are() -> None:
    shown = COMPONENTS["Status"]
    assert shown["required"] == [field.name for field in fields(NodeStatus)]
    assert shown["description"].startswith("How the node is doing.")
    assert shown["properties"]["join_ms"] == {
        "type": ["number", "null"],
        "description": "From start to join; null until then.",
    }
    assert COMPONENTS["DhtLookup"]["properties"]["closest"]["items"] == forms.ref("DhtContact")


def test_a_type_that_has_no_form_is_refused() -> None:
    @dataclass
    class Odd:
        value: complex

    with pytest.raises(TypeError, match="complex"):
        forms.to_json(Odd(1j))
