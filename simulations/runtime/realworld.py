"""The wall between virtual time and the machine: what reaches through it is refused by name.

A loop's methods that would open a real socket, pipe or process are refused one by one. Code that
goes around the loop (a library that makes a socket itself, a resolver in an executor) is caught by
an audit hook of the interpreter, which sees every socket and every child process, while a virtual
loop runs in the thread.
"""

import asyncio
import sys
import threading
from types import FrameType
from typing import Any, Final, NoReturn

from simulations.errors import TouchedRealWorld

REFUSED_EVENTS: Final = frozenset(
    {
        "socket.__new__",
        "socket.bind",
        "socket.connect",
        "socket.sendto",
        "socket.sendmsg",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.gethostbyaddr",
        "socket.getnameinfo",
        "subprocess.Popen",
        "os.fork",
        "os.posix_spawn",
        "os.system",
    }
)
MACHINERY: Final = ("asyncio", "simulations", "socket", "subprocess", "concurrent.futures")


def culprit() -> str:
    """Where the code stands that called into the machinery: `function (file:line)`."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not any(module == part or module.startswith(part + ".") for part in MACHINERY):
            code = frame.f_code
            return f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})"
        frame = frame.f_back
    return "code without a caller"


def refuse(what: str) -> NoReturn:
    """Raise TouchedRealWorld, naming `what` was asked for and the code that asked."""
    raise TouchedRealWorld(f"{what} is not simulated; it was asked for by {culprit()}")


def _refused(method: str) -> Any:
    def refusal(_loop: object, *_args: object, **_options: object) -> NoReturn:
        refuse(f"loop.{method}")

    refusal.__name__ = method
    refusal.__doc__ = f"Refused with TouchedRealWorld: `{method}` needs the real machine."
    return refusal


class RefusesRealWorld(asyncio.AbstractEventLoop):
    """The part of a loop that has no place in virtual time: each method is refused by name."""

    add_reader = _refused("add_reader")
    remove_reader = _refused("remove_reader")
    add_writer = _refused("add_writer")
    remove_writer = _refused("remove_writer")
    add_signal_handler = _refused("add_signal_handler")
    remove_signal_handler = _refused("remove_signal_handler")
    connect_accepted_socket = _refused("connect_accepted_socket")
    connect_read_pipe = _refused("connect_read_pipe")
    connect_write_pipe = _refused("connect_write_pipe")
    create_unix_connection = _refused("create_unix_connection")
    create_unix_server = _refused("create_unix_server")
    sendfile = _refused("sendfile")
    sock_accept = _refused("sock_accept")
    sock_connect = _refused("sock_connect")
    sock_recv = _refused("sock_recv")
    sock_recv_into = _refused("sock_recv_into")
    sock_recvfrom = _refused("sock_recvfrom")
    sock_recvfrom_into = _refused("sock_recvfrom_into")
    sock_sendall = _refused("sock_sendall")
    sock_sendfile = _refused("sock_sendfile")
    sock_sendto = _refused("sock_sendto")
    subprocess_exec = _refused("subprocess_exec")
    subprocess_shell = _refused("subprocess_shell")


class Guard:
    """Refuses real sockets and processes to one thread, between `raise_wall` and `lower_wall`.

    An audit hook cannot be removed again, so there is one for the whole process, and it looks up
    whether its thread is inside a simulation.
    """

    def __init__(self) -> None:
        self._threads: set[int] = set()
        self._installed = False

    def raise_wall(self) -> None:
        """Refuse from now on, in this thread."""
        if not self._installed:
            sys.addaudithook(self._audit)
            self._installed = True
        self._threads.add(threading.get_ident())

    def lower_wall(self) -> None:
        """Let this thread have sockets again."""
        self._threads.discard(threading.get_ident())

    def _audit(self, event: str, _args: tuple[object, ...]) -> None:
        if event in REFUSED_EVENTS and threading.get_ident() in self._threads:
            refuse(event)


GUARD: Final = Guard()
