"""Errors over the control API: the table is complete, and each comes back as what it was."""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import node
import protocol
from node.faces.api import details
from node.faces.api.schemas import COMPONENTS
from node.faces.api.validation import check
from node.faces.cli import exits
from node.faces.cli.main import main
from node.holders.failures import HolderFailure, HoldersUnreachable
from node.links.failure import AttemptReport, LinkAttemptFailed
from node.links.stages import Stage
from protocol.addresses import Address
from protocol.causes.cause import Cause
from protocol.causes.tried import KnownSide, TriedPair
from protocol.errors import Busy, CalleeBusy, CallFailed, LinkFailed, ModswarmError, NoSources
from protocol.ice.candidates import CandidateKind
from protocol.ice.pairs import PairOutcome
from protocol.identity import peer_id_text
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind
from tests.node.faces.fake_node import PEER, served_in_thread

INTERNAL = {
    "association_flooded": "ends the association with an event",
    "different": "raised and shown by the demo, which is no node",
    "nodes_slow": "raised and shown by the demo, which is no node",
    "node_silent": "found by the command line, which no node answers",
    "malformed_chunk": "counted inside the association",
    "no_such_link": "ends the restart of a link that the peer has closed",
    "process_failed": "raised and shown by the demo, which is no node",
    "protocol_violation": "ends the association with an event",
    "relay_refusal": "answered to the relay's client as a STUN error",
    "router_refused": "kept as UPnP's answer, which the report on the network has",
    "stream_failed": "kept as what failed, which the status has",
}
"""Errors that no answer of the control API can name, and why."""


def everything(kind: type[ModswarmError]) -> Iterator[type[ModswarmError]]:
    for child in kind.__subclasses__():
        yield child
        yield from everything(child)


def test_every_error_that_reaches_a_face_is_in_the_table() -> None:
    for package in (protocol, node):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    product = [
        kind for kind in everything(ModswarmError) if kind.__module__.startswith(("node.", "proto"))
    ]
    names = {kind.name: kind for kind in product}
    assert len(names) == len(product), "two errors have one name"
    assert {
        name: kind for name, kind in names.items() if name not in INTERNAL
    } == details.ERROR_KINDS
    assert not INTERNAL.keys() & details.ERROR_KINDS.keys()


RANDOM = NatKind(MappingKind.ENDPOINT_DEPENDENT, FilteringKind.DEPENDENT)
PAIR = TriedPair(
    Address("192.168.1.2", 4001),
    CandidateKind.HOST,
    Address("2001:db8::1", 5),
    CandidateKind.SERVER_REFLEXIVE,
    PairOutcome.NO_ANSWER,
)
REPORT = AttemptReport(
    {"call": 120.0, "ice": 15000.0},
    KnownSide((4,), RANDOM, 0),
    KnownSide((4, 6), NatKind(MappingKind.SEQUENTIAL, FilteringKind.UNKNOWN, True, -2), 3),
    (PAIR,),
)
HOLDERS = [
    HolderFailure(PEER, "link_attempt_failed", "no link", Cause.OFFLINE),
    HolderFailure(bytes(20), "link_failed", "all is lost", None),
    HolderFailure(bytes([1]) * 20, "call_failed", "no link", Cause.OFFLINE),
]


def made(kind: type[ModswarmError]) -> ModswarmError:
    if kind is LinkAttemptFailed:
        return LinkAttemptFailed(
            Stage.ICE, "no pair works", cause=Cause.RELAY_NEEDED, report=REPORT
        )
    if kind is HoldersUnreachable:
        return HoldersUnreachable(HOLDERS)
    if issubclass(kind, Busy | CalleeBusy):
        return kind(7.5)
    return kind("a sentence")


@pytest.mark.parametrize("kind", details.ERROR_KINDS.values(), ids=lambda kind: kind.name)
def test_an_error_comes_back_as_what_it_was(kind: type[ModswarmError]) -> None:
    error = made(kind)
    told = details.as_json(error)
    check(told, COMPONENTS["Failure"], COMPONENTS)
    back = details.from_json(told)
    assert back is not None
    assert type(back) is kind
    assert (back.name, str(back)) == (error.name, str(error))
    assert exits.exit_status_of(back) == exits.exit_status_of(error)
    assert vars(back) == vars(error)


def test_a_failed_link_keeps_its_stage_its_reason_and_what_was_tried() -> None:
    told = details.as_json(made(LinkAttemptFailed))
    assert told["error"]["cause"] == "relay_needed"
    assert told["error"]["advice"] == Cause.RELAY_NEEDED.advice
    carried = told["error"]["details"]
    assert (carried["stage"], carried["reason"]) == ("ice", "no pair works")
    assert carried["report"] == {
        "stage_ms": {"call": 120.0, "ice": 15000.0},
        "own": {
            "families": [4],
            "nat": {
                "mapping": "endpoint_dependent",
                "filtering": "dependent",
                "port_preserved": False,
                "port_step": 0,
            },
            "relays": 0,
        },
        "peer": {
            "families": [4, 6],
            "nat": {
                "mapping": "sequential",
                "filtering": "unknown",
                "port_preserved": True,
                "port_step": -2,
            },
            "relays": 3,
        },
        "pairs": [
            {
                "local": "192.168.1.2:4001",
                "local_type": "host",
                "remote": "[2001:db8::1]:5",
                "remote_type": "server_reflexive",
                "outcome": "no_answer",
            }
        ],
    }
    back = details.from_json(told)
    assert isinstance(back, LinkAttemptFailed)
    assert back.report == REPORT
    assert exits.exit_status_of(back) == exits.NETWORK


def test_holders_that_were_not_reached_make_one_sentence() -> None:
    many = HoldersUnreachable(HOLDERS)
    assert str(many) == (
        "none of the 3 nodes that are known to share this mod is reached: "
        f"{Cause.OFFLINE.sentence} (2 of them); all is lost (1 of them)"
    )
    assert exits.advice_for(many) == Cause.OFFLINE.advice
    one = HoldersUnreachable(HOLDERS[:1])
    assert (
        str(one)
        == f"the only node that is known to share this mod is not reached: {Cause.OFFLINE.sentence}"
    )
    unexplained = HoldersUnreachable(HOLDERS[1:2])
    assert unexplained.cause is None
    assert exits.advice_for(unexplained) == "Try again when a peer that has it is online."
    for error in (many, one, unexplained):
        assert exits.exit_status_of(error) == exits.NOT_FOUND


def test_a_cause_of_another_version_is_none() -> None:
    told = {"name": "call_failed", "message": "no", "cause": "of_tomorrow"}
    back = details.from_json({"error": told})
    assert isinstance(back, CallFailed)
    assert back.cause is None


@pytest.mark.parametrize(
    "carried", [None, {}, {"holders": []}, {"holders": [{"peer_id": "x"}]}, {"holders": [7]}]
)
def test_unreached_holders_without_details_are_no_sources_still(carried: object) -> None:
    told = {"name": "holders_unreachable", "message": "none", "details": carried}
    back = details.from_json({"error": told})
    assert (type(back), str(back)) == (NoSources, "none")


@pytest.mark.parametrize(
    "carried",
    [None, [], {}, {"stage": "x", "reason": "", "report": None}, {"stage": "ice", "report": 1}],
)
def test_a_failed_link_without_its_details_is_a_failed_link_still(carried: object) -> None:
    told = {"name": "link_attempt_failed", "message": "no link", "details": carried}
    back = details.from_json({"error": told})
    assert type(back) is LinkFailed
    assert str(back) == "no link"


@pytest.mark.parametrize("answer", [None, [], {}, {"error": "x"}, {"result": {}}])
def test_what_holds_no_error_is_none(answer: object) -> None:
    assert details.from_json(answer) is None


def test_an_error_of_another_version_is_a_plain_one() -> None:
    back = details.from_json({"error": {"name": "of_tomorrow", "message": "later"}})
    assert (type(back), str(back)) == (ModswarmError, "later")


def test_notes_are_told_with_the_message() -> None:
    error = LinkFailed("no link")
    error.add_note("node 3 said: the disk is full")
    told = details.as_json(error)["error"]
    assert told["message"] == "no link; node 3 said: the disk is full"


def test_a_failed_connect_ends_with_the_status_of_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served_in_thread(tmp_path) as node:
        node.failure = made(LinkAttemptFailed)
        with pytest.raises(SystemExit) as ended:
            main(["connect", peer_id_text(PEER), "--home", str(tmp_path), "--json"])
    assert ended.value.code == exits.NETWORK
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["details"]["stage"] == "ice"
    assert f"Error: no link: {Cause.RELAY_NEEDED.sentence}" in shown.err
    assert Cause.RELAY_NEEDED.advice in shown.err


def test_a_failed_connect_shows_both_networks_and_every_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served_in_thread(tmp_path) as node:
        node.failure = made(LinkAttemptFailed)
        with pytest.raises(SystemExit):
            main(["connect", peer_id_text(PEER), "--home", str(tmp_path)])
    shown = capsys.readouterr()
    assert shown.out == ""
    for text in (
        "IPv4; a router that takes an unpredictable port for each contact; only answers",
        "IPv4 and IPv6; a router that takes another port for each contact, which can be predicted",
        "15120 ms (call 120 ms, ICE 15000 ms)",
        "192.168.1.2:4001 (its own address)",
        "[2001:db8::1]:5 (as others see it)",
        "no answer",
    ):
        assert text in shown.err
