"""The control API, seen from the command line: plain blocking HTTP over loopback."""

import http.client
import json
import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from node.faces.api import errors
from node.faces.cli.output import printable
from node.faces.cli.terminal.words import shell_word
from node.home import read_control
from protocol.errors import ModswarmError, NotRunning, TimedOut

_log = logging.getLogger(__name__)

_PATIENCE_S = 60.0
"""Longer than any verb's own time limit; streams send a line every second."""

_PAUSES_S = (0.1, 0.2, 0.4, 0.8)
"""Before a request is made again that was not heard for too many connections."""

_LINE_BYTES = 2**20


class ControlClient:
    """Asks the node that runs in the home `home`. Every method raises what the node answers.

    NotRunning: no node answers there. TimedOut: it stopped answering. What the node knows against
    the clock of this computer is shown once on standard error, unless the command shows it itself.
    """

    def __init__(self, home: Path, *, tells_of_clock: bool = True) -> None:
        self._home = home
        self._tells_of_clock = tells_of_clock

    def get(self, path: str, **query: str | None) -> Any:
        """The JSON that a GET answers; parameters that are None are left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._one("GET", f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON that a POST answers."""
        return self._one("POST", path, body)

    def delete(self, path: str, name: str) -> Any:
        """The JSON that the DELETE of one item answers."""
        return self._one("DELETE", f"{path}/{quote(name, safe='')}")

    def stream(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The lines of a long POST: `{"progress"}` ones, then one `{"result"}`.

        Closing the iterator closes the connection, and with it the work at the node.
        """
        with self._answer("POST", path, body) as answer:
            while line := answer.readline(_LINE_BYTES):
                told = _decoded(line)
                failure = errors.from_json(told)
                if failure is not None:
                    raise failure
                yield told
                if "result" in told:
                    return
        raise NotRunning("the node ended before this was done")

    def _one(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        with self._answer(method, path, body) as answer:
            return _decoded(answer.read())

    @contextmanager
    def _answer(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> Iterator[http.client.HTTPResponse]:
        control = read_control(self._home)
        if control is None:
            raise self._not_running()
        address, token = control
        headers = {"Authorization": f"Bearer {token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = json.dumps(body) if body is not None else None
        try:
            for pause_s in (*_PAUSES_S, None):
                with _exchange(address, method, path, data, headers) as answer:
                    self._tell_of_clock(answer)
                    if answer.status == http.client.OK:
                        yield answer
                        return
                    failure = self._failure(answer)
                if pause_s is None or not isinstance(failure, errors.TooManyConnections):
                    raise failure
                time.sleep(pause_s)
        except TimeoutError:
            raise TimedOut("the node stopped answering; look at its log") from None
        except (OSError, http.client.HTTPException):
            raise self._not_running() from None

    def _tell_of_clock(self, answer: http.client.HTTPResponse) -> None:
        sentence = answer.headers.get(errors.CLOCK_HEADER)
        if sentence and self._tells_of_clock:
            self._tells_of_clock = False
            click.echo(printable(sentence), err=True)

    def _failure(self, answer: http.client.HTTPResponse) -> ModswarmError:
        failure = errors.from_json(_decoded(answer.read()))
        if failure is None or isinstance(failure, errors.Unauthorized):
            # Another program took the port of a node that was killed.
            return self._not_running()
        return failure

    def _not_running(self) -> NotRunning:
        return NotRunning(
            f"no node is running in {self._home}; start one with `modswarm run "
            f"--home {shell_word(str(self._home))}`"
        )


@contextmanager
def _exchange(
    address: str, method: str, path: str, data: str | None, headers: dict[str, str]
) -> Iterator[http.client.HTTPResponse]:
    """One request and its answer, on a connection of its own.

    The answer is closed by name: one that ends the connection owns the socket.
    """
    with closing(http.client.HTTPConnection(address, timeout=_PATIENCE_S)) as connection:
        connection.request(method, path, data, headers)
        with connection.getresponse() as answer:
            _log.info("%s %s: %d", method, path.partition("?")[0], answer.status)
            yield answer


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise NotRunning("what answers at the node's control address is no modswarm node") from None
