"""Requests of local programs to the control API without its token: a real node in a thread."""

import asyncio
import http.client
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from node.config import Config
from node.environment import Environment
from node.faces.api.server import ControlServer
from node.overlay.settings import OverlaySettings
from node.runtime import Node
from scripts.benchmarks.attack.form import RATIO_MOST

_COUNT = 300
_MICRO = 1e6
_TIMEOUT_S = 10.0


def control_api_rows() -> dict[str, Any]:
    """Bytes and CPU of each such request."""
    with TemporaryDirectory() as folder:
        api = _ApiThread(Path(folder))
        try:
            return {name: _row(api, ask) for name, ask in _FORMS.items()}
        finally:
            api.end()


class _ApiThread:
    """A node and its control API on a loop of their own."""

    def __init__(self, home: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._ended = asyncio.run_coroutine_threadsafe(self._event(), self._loop).result()
        self.address = ""
        opened: Future[str] = Future()
        self._serving = asyncio.run_coroutine_threadsafe(self._serve(home, opened), self._loop)
        self.address = opened.result(_TIMEOUT_S)

    async def _event(self) -> asyncio.Event:
        return asyncio.Event()

    async def _serve(self, home: Path, opened: "Future[str]") -> None:
        overlay = OverlaySettings(puzzle_bits=0)
        config = Config(listen=("127.0.0.1:0",), relay="off", upnp="off")
        node = Node.open(home, config, Environment(), lambda _: None, overlay)
        await node.start()
        server = ControlServer(node, version="1", on_stop=lambda: None)
        await server.start()
        opened.set_result(server.address)
        await self._ended.wait()
        await server.close()
        await node.stop()

    def cpu_s(self) -> float:
        """Of the node's thread."""
        return asyncio.run_coroutine_threadsafe(_thread_time(), self._loop).result()

    def end(self) -> None:
        """Stop the node and its loop."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._serving.result(_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _thread_time() -> float:
    return time.thread_time()


def _ask(headers: dict[str, str]) -> Callable[[str], tuple[int, int]]:
    """One request, and the bytes of it and of its answer."""

    def ask(address: str) -> tuple[int, int]:
        connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
        connection.request("GET", "/v1/status", None, headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        sent = len(f"GET /v1/status HTTP/1.1\r\nHost: {address}\r\n\r\n") + sum(
            len(f"{name}: {value}\r\n") for name, value in headers.items()
        )
        return sent, len(body) + sum(len(f"{n}: {v}\r\n") for n, v in answer.getheaders())

    return ask


def _connect(address: str) -> tuple[int, int]:
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
    connection.connect()
    connection.close()
    return 0, 0


_FORMS = {
    "control API, no token": _ask({}),
    "control API, a wrong token": _ask({"Authorization": "Bearer " + "00" * 32}),
    "control API, a web page": _ask({"Origin": "http://example.net"}),
    "control API, a connection alone": _connect,
}


def _row(api: _ApiThread, ask: Callable[[str], tuple[int, int]]) -> dict[str, Any]:
    ask(api.address)
    node_s, own_s = api.cpu_s(), time.thread_time()
    for _ in range(_COUNT):
        bytes_in, bytes_out = ask(api.address)
    own_s = time.thread_time() - own_s
    node_s = api.cpu_s() - node_s
    ratio = round(node_s / own_s, 2)
    return {
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "cpu_in_us": round(_MICRO * own_s / _COUNT, 1),
        "cpu_out_us": round(_MICRO * node_s / _COUNT, 1),
        "ratio": ratio,
        "fits": ratio < RATIO_MOST,
    }
