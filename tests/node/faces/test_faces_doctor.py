"""The command doctor: what a network is in words, and whether a friend can be reached and how."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from node.answers.network import ClockReport, StreamStatus
from node.faces.api.forms import to_json
from node.faces.cli import exits, networks
from node.links.failure import AttemptReport, LinkAttemptFailed
from node.links.stages import Stage
from protocol.addresses import Address
from protocol.causes.cause import Cause
from protocol.causes.clock import span
from protocol.causes.network_kind import NetworkKind, UpnpAnswer
from protocol.errors import CallFailed
from protocol.ice.candidates import CandidateKind
from protocol.identity import peer_id_text
from protocol.punching.pairs import Way
from protocol.reachability.clock_signs import ClockVerdict, ClockView
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind, Verdict
from tests.node.faces.commands import status_of
from tests.node.faces.fake_node import CONE, PEER, RANDOM, FakeNode

FAILURE = LinkAttemptFailed(
    Stage.ICE,
    "nothing came of it within 15 s",
    cause=Cause.RELAY_NEEDED,
    report=AttemptReport({"call": 100.0, "ice": 15000.0}, CONE, RANDOM),
)


def test_the_network_is_told_in_words(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("doctor") == exits.OK
    shown = capsys.readouterr().out.splitlines()
    assert [line[:16].rstrip() for line in shown] == [
        *("Your network", "What helps", "Contacts", "IPv4", "IPv6", "UPnP"),
        *("Called through", "Relays", "Without UDP", "Clock", "Line"),
    ]
    v4 = (
        "192.168.1.5; only answers come in; a router that keeps one port for all contacts; "
        "others see 192.0.2.7:4001, 192.0.2.8:9 (one contact's word)"
    )
    assert [line[16:] for line in shown] == [
        NetworkKind.ROUTER.sentence,
        NetworkKind.ROUTER.advice,
        "12, 10 of them on the internet",
        v4,
        "this computer has no such address",
        "no router answers",
        "4 registrars",
        "16 contacts to ask when a link needs one",
        "not needed",
        "no sign that it is off",
        "not known, as no other node has answered",
    ]


@pytest.mark.parametrize(
    ("streams", "words"),
    [
        (StreamStatus(failures=("the proxy asks for a password", "no")), "the proxy asks"),
        (StreamStatus(gateways=(Address("192.0.2.7", 443),), failures=("no",)), "by TLS through"),
    ],
)
def test_why_streams_failed_is_told_in_the_words_of_status(
    node: FakeNode,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    streams: StreamStatus,
    words: str,
) -> None:
    node.doctor.report = replace(node.doctor.report, streams=streams)
    status = replace(node.status(), streams=streams)
    monkeypatch.setattr(node, "status", lambda: status)
    told = []
    for command in ("doctor", "status"):
        assert status_of(command) == exits.OK
        (line,) = [one for one in capsys.readouterr().out.splitlines() if "Without UDP" in one]
        told.append(line.removeprefix("Without UDP").strip())
    assert words in told[0]
    assert told[0] == told[1]


def test_relays_in_use_are_counted(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.doctor.report = replace(node.doctor.report, relays=2)
    assert status_of("doctor") == exits.OK
    told = "16 contacts to ask when a link needs one; 2 relays in use"
    assert f"Relays          {told}" in capsys.readouterr().out.splitlines()


def test_a_node_that_hides_its_address_is_told_that_links_need_relays(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.doctor.report = replace(node.doctor.report, hides_address=True)
    assert status_of("doctor") == exits.OK
    assert "every link needs one, as this node hides its address" in capsys.readouterr().out


def test_a_network_that_needs_nothing_gets_no_advice(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.doctor.report = replace(
        node.doctor.report,
        kind=NetworkKind.OPENED_ROUTER,
        sentence=NetworkKind.OPENED_ROUTER.sentence,
        advice=NetworkKind.OPENED_ROUTER.advice,
        upnp=UpnpAnswer.FORWARDS,
        upnp_address=Address("192.0.2.7", 4001),
        relays=1,
    )
    assert status_of("doctor") == exits.OK
    shown = capsys.readouterr().out
    assert "What helps" not in shown
    assert "the router forwards a port: 192.0.2.7:4001" in shown
    assert "1 relay in use" in shown


def test_a_node_without_contacts_says_how_many_it_could_ask(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.doctor.report = replace(
        node.doctor.report, joined=False, contacts=0, distant_contacts=0, known_nodes=3
    )
    assert status_of("doctor") == exits.OK
    assert "0, 0 of them on the internet; 3 nodes known to ask" in capsys.readouterr().out


def test_a_friend_that_can_be_reached_is_shown_with_the_way(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("doctor", peer_id_text(PEER)) == exits.OK
    shown = capsys.readouterr().out
    for text in (
        "Your network",
        f"Linked with    {peer_id_text(PEER)}",
        "direct, outgoing",
        "IPv4; a router that keeps one port for all contacts; only answers are let in",
        "IPv4 and IPv6; a router that takes an unpredictable port for each contact",
        "a direct path after many tries of ports, else a relay",
    ):
        assert text in shown


def test_a_friend_that_cannot_be_reached_is_shown_with_the_cause(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.pool.failure = FAILURE
    assert status_of("doctor", peer_id_text(PEER)) == exits.NETWORK
    shown = capsys.readouterr()
    assert "Your network" in shown.out
    assert "No pair of addresses could be tried." in shown.err
    assert f"Error: no link: {Cause.RELAY_NEEDED.sentence}" in shown.err
    assert Cause.RELAY_NEEDED.advice in shown.err


def test_json_is_one_document_whatever_becomes_of_the_friend(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("doctor", "--json") == exits.OK
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["network"]
    assert told["network"]["kind"] == "router"
    assert status_of("doctor", peer_id_text(PEER), "--json") == exits.OK
    told = json.loads(capsys.readouterr().out)
    assert (told["link"]["path"], told["link"]["expected"]) == ("direct", "birthday")
    for failure in (FAILURE, CallFailed(cause=Cause.OFFLINE)):
        node.pool.failure = failure
        assert status_of("doctor", peer_id_text(PEER), "--json") == exits.NETWORK
        printed = capsys.readouterr()
        told = json.loads(printed.out)
        assert list(told) == ["network", "link", "error"]
        assert told["link"] is None
        assert told["error"]["cause"] == failure.cause
        assert printed.err == ""


def test_without_a_node_the_doctor_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("doctor", "--home", str(tmp_path)) == exits.NOT_RUNNING
    assert f"no node is running in {tmp_path}" in capsys.readouterr().err


def test_every_value_has_words() -> None:
    for kind in CandidateKind:
        assert networks.LEARNED[kind]
    for way in Way:
        assert networks.expected(way.value)
    assert networks.expected(None).startswith("not known")
    for answer in UpnpAnswer:
        told = {
            "upnp": str(answer),
            "upnp_address": "192.0.2.7:4001",
            "upnp_refusal": "718",
            "upnp_tcp_ports": [4001, 443],
            "upnp_tcp_refusals": ["why not"],
        }
        shown = networks.upnp(told)
        assert shown.endswith("TCP for nodes without UDP: 4001, 443; why not") is (
            answer is UpnpAnswer.FORWARDS
        )
        assert ("192.0.2.7:4001" in shown) is (answer is UpnpAnswer.FORWARDS)
        assert ("718" in shown) is (answer is UpnpAnswer.REFUSED)
    for mapping in MappingKind:
        for filtering in FilteringKind:
            assert networks.router(NatKind(mapping, filtering))
    for verdict in Verdict:
        known = {"hosts": ["192.0.2.1"], "listening": True, "seen": [], "mapping": "unknown"}
        assert networks.family(known | {"verdict": verdict.name.lower()})
    unheard = {"hosts": ["2001:db8::1"], "listening": False}
    assert networks.family(unheard) == "2001:db8::1; the node does not listen there"


def clock_line(view: ClockView) -> str:
    return networks.clock(to_json(ClockReport.of(view)))


def test_what_is_known_of_the_clock_says_by_how_much_and_by_whom() -> None:
    for verdict in ClockVerdict:
        for corrected in (False, True):
            told = clock_line(ClockView(verdict, 2, 3, None, corrected))
            assert ("2 of 3 networks" in told) is (verdict is not ClockVerdict.NO_SIGN)
            assert ("ahead" in told) is verdict.value.endswith("ahead")
            assert ("behind" in told) is verdict.value.endswith("behind")
            assert ("may be" in told) is verdict.value.startswith("perhaps")
    alone = clock_line(ClockView(ClockVerdict.PERHAPS_AHEAD, 1, 1, 3720.0))
    assert "may be 1 h 2 min ahead: contacts in 1 of 1 network say so" in alone
    assert clock_line(ClockView(heard=2)) == "no sign that it is off"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(61, "61 s"), (119.6, "2 min"), (3600, "1 h"), (5400, "1 h 30 min"), (6 * 86400, "6 days")],
)
def test_by_how_much_is_told_in_units_that_matter(seconds: float, told: str) -> None:
    assert span(seconds) == told
