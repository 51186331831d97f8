"""`modswarm links --watch`: what changes of links, as lines for persons and as JSON."""

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from node.faces.cli import exits
from node.links.path.found_path import FoundPath
from node.links.pool.changes import LinkChange, LinkChanges, LinkEnd
from protocol import limits
from protocol.errors import NotRunning
from protocol.identity import peer_id_text
from tests.node.faces.commands import status_of
from tests.node.faces.fake_node import BEHIND, PATH, PEER, FakeLink, FakeNode


class FewChanges(LinkChanges):
    """The node ends once it was asked for changes so often."""

    def __init__(self, times: int, path: FoundPath = PATH) -> None:
        super().__init__()
        self._left = times
        self._path = path

    async def after(self, number: int) -> tuple[LinkChange, ...]:
        self._left -= 1
        if self._left < 0:
            raise NotRunning("the node has ended")
        path, down = (
            cast("Any", FakeLink(PEER, 0.0, path=self._path)),
            (LinkEnd.IDLE, "closed by us: idle"),
        )
        for _ in range(1 if self.last < 2 else limits.LINK_CHANGES):
            self.uses(PEER, path)
            self.uses(PEER, None, *down)
        return await super().after(number)


def test_links_are_watched_until_the_node_ends(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.pool.changes = FewChanges(2)
    assert status_of("links", "--watch") == exits.NOT_RUNNING
    printed = capsys.readouterr().out.splitlines()
    assert "PEER" in printed[0]
    up, down = (line.split("  ", 1)[1] for line in printed[5:7])
    assert up == f"{peer_id_text(PEER)}  up    direct, 127.0.0.1:5000"
    assert down == f"{peer_id_text(PEER)}  down  closed by us: idle"
    assert printed[7] == f"{limits.LINK_CHANGES} earlier changes not shown: too many at once."
    assert len(printed) == 8 + limits.LINK_CHANGES


@pytest.mark.parametrize("word", ["relayed", "stream"])
def test_the_relay_of_a_link_that_is_watched_is_named_as_in_the_list(
    node: FakeNode, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    node.pool.changes = FewChanges(1, replace(BEHIND, by_stream=word == "stream"))
    assert status_of("links", "--watch") == exits.NOT_RUNNING
    listed, up = capsys.readouterr().out.splitlines()[4:6]
    assert BEHIND.relay is not None
    assert listed.endswith(peer_id_text(BEHIND.relay))
    assert up.endswith(f"  {peer_id_text(PEER)}  up    {word}, {peer_id_text(BEHIND.relay)}")


def test_what_changes_of_links_is_a_line_of_json_each_time(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.pool.changes = FewChanges(1)
    assert status_of("links", "--watch", "--json") == exits.NOT_RUNNING
    links, changes, _failure = map(json.loads, capsys.readouterr().out.splitlines())
    assert len(links["links"]) == 1
    assert [(one["number"], one["event"], one["end"]) for one in changes["changes"]] == [
        (1, "up", None),
        (2, "down", "idle"),
    ]
    assert (changes["missed"], changes["last"]) == (0, 2)
