"""The control API, seen from the command line: plain blocking HTTP over loopback.

Whether a node runs is said by the lock of its home and not by `control.json`, which a killed node
leaves behind, and whose port any other program may have by now.
"""

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

from node.faces.api import errors, guard
from node.faces.cli.output import printable
from node.faces.cli.terminal.words import shell_word
from node.machine import control_file
from node.machine.control_file import Control
from node.machine.patient_socket import AnswerPatience, PatientSocket
from node.machine.refusals import refusal_of, refused
from protocol.addresses import split_host_port
from protocol.errors import (
    BadAddress,
    HomeError,
    ModswarmError,
    NodeSilent,
    NotRunning,
    OutOfResources,
)

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
"""After so long without an answer, or a line of one, the client asks whether the node lives."""
LOOK_S = 4.0
"""How long it has for that: together they are less than the 10 s after which a person is told."""
PATIENCE_S = 60.0
"""For a node that has work of ours and does not answer; a question to it is given up at once."""

_PAUSES_S = (0.1, 0.2, 0.4, 0.8)
"""Before a request is made again that was not heard for too many connections."""

_LINE_BYTES = 2**20
_ANSWER_BYTES = 2**26

_WAITING = (
    "The node does not answer: it may be suspended, busy or waiting for its disk. Waiting up to a "
    "minute for it; Ctrl-C ends the waiting."
)


class ControlClient:
    """Asks the node that runs in the home `home`. Every method raises what the node answers.

    NotRunning: no node runs there. NodeSilent: one does, and does not answer. What the node knows
    against the clock of this computer is shown once on standard error, unless the command shows it
    itself.
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
        with self._answer("POST", path, body) as (answer, patience):
            while line := answer.readline(_LINE_BYTES):
                patience.again()
                told = _decoded(line)
                failure = _failure_in(told)
                if failure is not None:
                    raise failure
                yield told
                if "result" in told:
                    return
        raise NotRunning("the node ended before this was done")

    def is_running(self) -> bool:
        """Whether the node has not ended yet."""
        is_held = control_file.is_node_running(self._home)
        control = control_file.read_control(self._home)
        return (control is not None and _lives(control)) if is_held is None else is_held

    def _one(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        with self._answer(method, path, body) as (answer, _):
            return _decoded(answer.read(_ANSWER_BYTES))

    @contextmanager
    def _answer(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> Iterator[tuple[http.client.HTTPResponse, AnswerPatience]]:
        control = self._control()
        headers = {"Authorization": f"Bearer {control.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = json.dumps(body) if body is not None else None
        patience = self._patience(control, is_question=method == "GET")
        try:
            for pause_s in (*_PAUSES_S, None):
                with _exchange(control, patience, method, path, data, headers) as answer:
                    self._tell_of_clock(answer)
                    if answer.status == http.client.OK:
                        _check_proof(answer, control)
                        yield answer, patience
                        return
                    failure = self._failure(answer)
                if pause_s is None or not isinstance(failure, errors.TooManyConnections):
                    raise failure
                time.sleep(pause_s)
        except TimeoutError:
            raise self._silent(patience.waited_s) from None
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and refusal_of(error).kind is OutOfResources:
                raise refused(error, f"cannot ask the node in {self._home}") from None
            raise self._not_running() from None

    def _tell_of_clock(self, answer: http.client.HTTPResponse) -> None:
        sentence = answer.headers.get(errors.CLOCK_HEADER)
        if sentence and self._tells_of_clock:
            self._tells_of_clock = False
            click.echo(printable(sentence), err=True)

    def _control(self) -> Control:
        """Where the node is; raises NotRunning unless one runs in this very home."""
        hidden = control_file.why_unreadable(self._home)
        if hidden is not None:
            raise refused(hidden, f"cannot ask the node in {self._home}", HomeError)
        control = control_file.read_control(self._home)
        is_held = control_file.is_node_running(self._home)
        if control is None or is_held is False:
            raise self._not_running()
        is_sure = is_held and not control_file.may_be_a_copys(self._home)
        if not is_sure and not control_file.is_of(self._home):
            raise self._not_running(is_copy=True)
        return control

    def _patience(self, control: Control, *, is_question: bool) -> AnswerPatience:
        told: list[str] = []

        def silent() -> None:
            if _lives(control):
                return  # it is still at it
            if is_question or patience.waited_s >= PATIENCE_S:
                raise self._silent(patience.waited_s)
            if not told:
                told.append(_WAITING)
                click.echo(_WAITING, err=True)

        patience = AnswerPatience(LOOK_EVERY_S, silent)
        return patience

    def _failure(self, answer: http.client.HTTPResponse) -> ModswarmError:
        failure = _failure_in(_decoded(answer.read(_ANSWER_BYTES)))
        if failure is None or isinstance(failure, errors.Unauthorized):
            # Another program took the port of a node that was killed.
            return self._not_running()
        return failure

    def _silent(self, waited_s: float) -> NodeSilent:
        pid = control_file.process_of(self._home)
        process = f" (process {pid})" if pid is not None else ""
        return NodeSilent(
            f"the node in {self._home}{process} has not answered for {waited_s:.0f} s"
        )

    def _not_running(self, *, is_copy: bool = False) -> NotRunning:
        if control_file.is_damaged(self._home):
            return NotRunning(
                f"{self._home / control_file.CONTROL_FILE} is damaged, so no command can ask the "
                "node: end it where it runs, if it does, and start it again"
            )
        if control_file.is_node_running(self._home) and not is_copy:
            return NotRunning(
                f"the node in {self._home} does not answer here: it is starting or ending, or runs "
                "in a container or on another computer; try again in a moment"
            )
        return NotRunning(
            f"no node is running in {self._home}; start one with `modswarm run "
            f"--home {shell_word(str(self._home))}`"
        )


class _PatientConnection(http.client.HTTPConnection):
    def __init__(self, address: str, patience: AnswerPatience) -> None:
        try:
            super().__init__(*split_host_port(address))
        except BadAddress as error:  # which an answer of the node may be as well
            raise http.client.InvalidURL(address) from error
        self._patience = patience

    def connect(self) -> None:
        self.sock = PatientSocket.connected(self.host, self.port, self._patience)


@contextmanager
def _exchange(
    control: Control,
    patience: AnswerPatience,
    method: str,
    path: str,
    data: str | None,
    headers: dict[str, str],
) -> Iterator[http.client.HTTPResponse]:
    """One request and its answer, on a connection of its own.

    The answer is closed by name: one that ends the connection owns the socket.
    """
    with closing(_PatientConnection(control.address, patience)) as connection:
        connection.request(method, path, data, headers)
        with connection.getresponse() as answer:
            _log.info("%s %s: %d", method, path.partition("?")[0], answer.status)
            yield answer


def _lives(control: Control) -> bool:
    """Whether a node with this token answers now, if only that it is busy."""

    def silent() -> None:
        raise TimeoutError

    headers = {"Authorization": f"Bearer {control.token}"}
    patience = AnswerPatience(LOOK_S, silent)
    try:
        with _exchange(control, patience, "GET", "/v1/id", None, headers) as answer:
            if answer.status == http.client.OK:
                _check_proof(answer, control)
                return True
            failure = _failure_in(_decoded(answer.read(_ANSWER_BYTES)))
            return isinstance(failure, errors.TooManyConnections)
    except (OSError, http.client.HTTPException, NotRunning):
        return False


def _check_proof(answer: http.client.HTTPResponse, control: Control) -> None:
    if answer.headers.get(guard.PROOF_HEADER) != guard.proof(control.token):
        raise NotRunning(_FOREIGN)


def _failure_in(told: Any) -> ModswarmError | None:
    if not isinstance(told, dict) or "error" not in told:
        return None
    # Costs a fifth of what all other imports do, which a command that works out need not wait for.
    from node.faces.api.details import from_json

    return from_json(told)


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise NotRunning(_FOREIGN) from None


_FOREIGN = "what answers at the node's control address is not the node of this home"
