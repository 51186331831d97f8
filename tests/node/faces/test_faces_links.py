"""How people are shown the paths of links: in columns, on terminals of 80, and why."""

from dataclasses import replace

import pytest

from node.links.path.found_path import FoundPath, MeasuredPath
from protocol.addresses import Address
from protocol.ice.candidates import CandidateKind
from protocol.ice.paths.report import PathReason
from protocol.ice.paths.selector import PathClass
from protocol.identity import PeerId, peer_id_text
from tests.node.faces.commands import status_of, told_by
from tests.node.faces.fake_node import PATHS, PEER, FakeNode

OTHER = PEER[::-1]
RELAY_ID = peer_id_text(PATHS[1].ends.relay or b"")
WIDE = Address("2001:db8:85a3:1234:5678:8a2e:370:7334", 54321)
IN_USE, BEHIND = PATHS
BY_V6 = MeasuredPath(
    FoundPath(WIDE, CandidateKind.HOST, WIDE, CandidateKind.HOST),
    replace(IN_USE.report, selected=False, reason=PathReason.IN_USE, round_trip_s=12.3456, rate=1),
)
BY_STREAM = MeasuredPath(
    replace(BEHIND.ends, by_stream=True), replace(BEHIND.report, path_class=PathClass.STREAM)
)
FOUR = (IN_USE, BY_V6, BEHIND, BY_STREAM)


def shown_links(
    node: FakeNode,
    capsys: pytest.CaptureFixture[str],
    *paths: MeasuredPath,
    peers: tuple[PeerId, ...] = (PEER,),
) -> list[str]:
    node.pool.paths, node.pool.linked = paths, list(peers)
    assert status_of("links") == 0
    return capsys.readouterr().out.splitlines()


def test_a_link_with_one_path_takes_two_lines(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    heading, path_heading, link, path = shown_links(node, capsys, IN_USE)
    assert heading.split() == ["PEER", "DIRECTION", "OPEN", "FOR", "SENT", "RECEIVED", "KEPT"]
    assert path_heading == "  PATH    ROUND TRIP  LOSS  RATE      ADDRESS OR RELAY"
    assert link.split()[:2] == [peer_id_text(PEER), "outgoing"]
    assert path == "* direct  20 ms       6 %   1.2 MB/s  127.0.0.1:5000"


def test_a_link_with_four_paths_stands_in_columns_and_those_that_carry_nothing_have_no_rate(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = shown_links(node, capsys, *FOUR)
    assert shown[3:] == [
        "* direct   20 ms       6 %    1.2 MB/s  127.0.0.1:5000",
        "  direct   12346 ms    6 %    1 B/s     [2001:db8:85a3:1234:5678:8a2e:370:7334]:54321",
        f"  relayed  -           100 %  -         {RELAY_ID}",
        f"  stream   -           100 %  -         {RELAY_ID}",
    ]
    assert all(len(line) <= 80 for line in shown if str(WIDE) not in line)
    assert shown[4].index(str(WIDE)) < 42, (
        "where it does not fit, the address alone is on two lines"
    )


def test_each_link_has_its_own_paths_below_it(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = shown_links(node, capsys, IN_USE, BEHIND, peers=(PEER, OTHER))
    first = [line.split()[0] for line in shown[2:]]
    assert first == [peer_id_text(PEER), "*", "relayed", peer_id_text(OTHER), "*", "relayed"]


def test_a_link_that_has_just_ended_has_no_paths_and_no_links_are_a_sentence(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(shown_links(node, capsys)) == 3
    assert shown_links(node, capsys, peers=()) == [
        "No open links. They open when something is fetched."
    ]


def test_connect_says_why_a_path_is_in_use_and_why_others_are_not(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.pool.paths = (IN_USE, BEHIND)
    assert status_of("connect", peer_id_text(PEER)) == 0
    why = PathReason.CLASS.value
    shown = capsys.readouterr().out.splitlines()
    assert f"Why           {why}" in shown
    assert (
        f"Beside it     relayed by {RELAY_ID}, -, 100 % lost; its last check had no answer" in shown
    )


def test_a_path_by_a_stream_has_that_word_wherever_it_is_told(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = replace(BY_STREAM.report, selected=True, reason=PathReason.ONLY)
    node.pool.path, node.pool.paths = BY_STREAM.ends, (replace(BY_STREAM, report=stream),)
    assert status_of("connect", peer_id_text(PEER)) == 0
    shown = capsys.readouterr().out
    assert "Path          stream, outgoing\nWhy           no other path works\n" in shown
    assert shown_links(node, capsys, *node.pool.paths)[3].startswith("* stream  ")
    (link,) = told_by(capsys, "links")["links"]
    assert (link["path"], link["paths"][0]["kind"]) == ("stream", "stream")


def test_json_has_all_of_each_path(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    direct, relayed = told_by(capsys, "links")["links"][0]["paths"]
    assert (direct["kind"], direct["reason"]) == ("direct", "class")
    assert (direct["rtt_ms"], direct["loss"], direct["bytes_per_second"]) == (20.1, 0.062, 1234568)
    assert (relayed["rtt_ms"], relayed["bytes_per_second"]) == (None, None)
    assert (relayed["relay"], relayed["selected"]) == (RELAY_ID, False)
