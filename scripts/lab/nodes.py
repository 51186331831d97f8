"""Real nodes, `modswarm run`, each on a host of the lab."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from node.faces.demo.processes import NodeProcess, end_all
from protocol.errors import ModswarmError, TimedOut
from scripts.lab.identities import give_identity
from scripts.lab.net.topology import Host

_START_S = 60.0
_JOIN_S = 60.0
_POLL_S = 0.1


class LabNode:
    """A node on a host. Make it, `start` it, ask it."""

    def __init__(
        self,
        host: Host,
        folder: Path,
        number: int,
        options: Sequence[str] = (),
        settings: str = "",
    ) -> None:
        self.host = host
        self._folder = folder / host.name
        self._number = number
        self._options = options
        self._settings = settings
        self.process = NodeProcess(self._folder, *self._listen(), *options)
        self.peer_id = ""

    def _listen(self) -> list[str]:
        return [word for address in self.host.listen for word in ("--listen", address)]

    def start(self) -> None:
        """Make the home, start the process in the host's namespace, and return at once."""
        give_identity(self.process.home, self._number)
        (self.process.home / "config.toml").write_text(self._settings)
        self.host.space.within(self.process.start)

    def wait_until_up(self) -> None:
        """Wait until it listens; raises TimedOut, ProcessFailed."""
        deadline = time.monotonic() + _START_S
        while (told := self.process.running()) is None:
            if time.monotonic() > deadline:
                raise TimedOut(f"the node {self.host.name} did not start")
            time.sleep(_POLL_S)
        self.peer_id = told["peer_id"]

    def get(self, path: str, **query: str) -> Any:
        """The answer of the node's control API; raises what that answers."""
        return self.host.space.within(lambda: self.process.client.get(path, **query))

    def connect(self, peer: "LabNode") -> "Future[dict[str, Any]]":
        """Open a link, as `modswarm connect PEER --json` does; the link's view, or its error."""
        body = {"peer": peer.peer_id}
        return self.host.space.begin(lambda: self.process.client.post("/v1/connect", body))

    def share(self, source: Path) -> str:
        """Share a folder, as `modswarm share` does; the mod's link."""
        told = self._streamed("/v1/mods", {"path": str(source)}).result()
        link: str = told["link"]
        return link

    def fetch(self, link: str, target: Path) -> None:
        """Fetch a mod, as `modswarm get` does."""
        self.begin_fetch(link, target).result()

    def begin_fetch(self, link: str, target: Path) -> "Future[dict[str, Any]]":
        """The same; what comes of it."""
        return self._streamed("/v1/downloads", {"link": link, "to": str(target)})

    def _streamed(self, path: str, body: dict[str, Any]) -> "Future[dict[str, Any]]":
        def ask() -> dict[str, Any]:
            *_, last = self.process.client.stream(path, body)
            result: dict[str, Any] = last["result"]
            return result

        return self.host.space.begin(ask)

    def link_to(self, peer: "LabNode") -> dict[str, Any] | None:
        """Its view of the link to a peer, if it has one."""
        links: list[dict[str, Any]] = self.get("/v1/links")["links"]
        return next((link for link in links if link["peer_id"] == peer.peer_id), None)

    def bootstraps(self, other: Host) -> list[str]:
        """The options with which another host joins through this one."""
        own = self.host
        ends = [f"{own.v4}:{own.port}"] if own.v4 and other.v4 else []
        ends += [f"[{own.v6}]:{own.port}"] if own.v6 and other.v6 else []
        return [word for end in ends for word in ("--bootstrap", f"{end}/{self.peer_id}")]


def wait_until_joined(nodes: Sequence[LabNode]) -> dict[str, float | None]:
    """Wait until all have joined, or the time is over; how many ms each took, None if it has not.

    Raises ModswarmError if a node does not answer.
    """
    deadline = time.monotonic() + _JOIN_S
    took: dict[str, float | None] = dict.fromkeys((node.host.name for node in nodes), None)
    waiting = list(nodes)
    while waiting and time.monotonic() < deadline:
        for node in list(waiting):
            status = node.get("/v1/status")
            if status["joined"]:
                took[node.host.name] = status["join_ms"]
                waiting.remove(node)
        time.sleep(_POLL_S)
    return took


def end(nodes: Sequence[LabNode]) -> None:
    """End all, and wait for them."""
    end_all([node.process for node in nodes])


__all__ = ["LabNode", "ModswarmError", "end", "wait_until_joined"]
