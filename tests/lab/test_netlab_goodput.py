"""What the lab measures where one network at least passes no UDP, and how it tells it."""

import tomllib
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from node.config import Config
from scripts.lab import goodput
from scripts.lab.goodput import Line, Watched
from scripts.lab.kinds import KINDS

LINE = Line(bytes_s=1_250_000, relay_rate=None, round_trip_ms=50.0)


def test_a_blocked_network_gets_and_gives_with_each_other_kind_and_its_own() -> None:
    met = goodput.pairs(goodput.kinds([KINDS["port"], KINDS["blocked"], KINDS["cone"]]))
    assert met == [
        ("blocked.a", "blocked.b"),
        ("blocked.a", "port.b"),
        ("blocked.a", "cone.b"),
        ("port.a", "blocked.b"),
        ("cone.a", "blocked.b"),
    ]


def test_kinds_that_differ_are_taken_where_none_are_named() -> None:
    names = [kind.name for kind in goodput.kinds(None)]
    assert names == ["blocked", "public", "port", "symmetric", "ipv6only"]


def test_a_relays_rate_is_a_setting_of_each_node() -> None:
    assert LINE.settings == ""
    told = tomllib.loads(Line(1_250_000, 20_000_000, 50.0).settings)
    assert told == {"relay_rate": 20_000_000}
    assert Config(**told).relay_settings().rate == 20_000_000


class Node:
    """Tells one link, and the given changes of links."""

    def __init__(self, name: str, peer: str, kind: str, relay: str | None = None) -> None:
        self.peer_id = f"id of {name}"
        self.host = SimpleNamespace(name=name)
        self.changes: list[dict[str, str]] = []
        self._peer, self._path = f"id of {peer}", {"kind": kind, "relay": relay}

    def link_to(self, peer: "Node") -> dict[str, Any] | None:
        other = {"kind": "direct", "relay": None}
        return {"paths": [self._path, other]} if peer.peer_id == self._peer else None

    def get(self, path: str, after: str = "") -> dict[str, Any]:
        assert path == "/v1/links/changes"
        return {"last": len(self.changes), "changes": self.changes[int(after or "0") :]}


def test_what_a_mod_came_by_and_why_links_ended_is_told() -> None:
    getter: Any = Node("blocked.a", "port.b", "stream", "id of seed1")
    giver: Any = Node("port.b", "blocked.a", "relayed", "id of seed1")
    lab: Any = SimpleNamespace(nodes={"seed1": SimpleNamespace(peer_id="id of seed1")})
    giver.changes = [{"event": "down", "peer_id": getter.peer_id, "reason": "before"}]
    watched = Watched(lab, getter, giver)
    watched.begin()
    assert watched.lost() == []
    done: Future[dict[str, Any]] = Future()
    done.set_result({})
    watched.until(done, float("inf"))
    giver.changes += [
        {"event": "path", "peer_id": getter.peer_id, "reason": ""},
        {"event": "down", "peer_id": "id of another", "reason": "not ours"},
        {"event": "down", "peer_id": getter.peer_id, "reason": "the peer vanished"},
    ]
    assert (watched.getter_by, watched.giver_by) == (["stream"], ["relayed"])
    assert watched.relays == ["seed1"]
    assert watched.lost() == ["the peer vanished"]
