"""What a simulation refuses or finds wrong: faults of the experiment, never of the network in it.

    SimulationError
    ├── Stuck               something is awaited and nothing is left that could happen
    ├── Spinning            callbacks follow callbacks and the clock never moves
    ├── TouchedRealWorld    code reached for a real socket, process, thread or resolver
    ├── CallbackFailed      an uncaught exception, in a callback or a task
    ├── NoCurrentHost       an address that only a host can give meaning to, outside of any host
    ├── BadTopology         an address taken twice, a host that does not exist
    ├── BadLatencyFile      a latency matrix that is not one
    ├── NotJoined           residents of a world that did not join within its bound
    ├── ExtraMissing        a library that a plain installation lacks
    └── GatewayRefused      a simulated UPnP gateway's error answer

Errors of the simulated network itself reach the code under test as the operating system's would:
`OSError` with its number, or silence.
"""

from protocol.errors import ModswarmError


class SimulationError(ModswarmError):
    """The experiment, not the network in it, went wrong."""


class Stuck(SimulationError):
    """Nothing is ready, no timer runs, no packet flies, and something is still awaited."""


class NotJoined(SimulationError):
    """Residents have not joined within JOIN_BOUND_S; the message names them."""


class Spinning(SimulationError):
    """Callbacks schedule callbacks for ever at one instant of virtual time."""


class TouchedRealWorld(SimulationError, NotImplementedError):
    """A real socket, thread or process was asked for; the message names the caller.

    It is a NotImplementedError too, because libraries that cope with loops of few abilities (no
    signal handlers on Windows) look for that.
    """


class CallbackFailed(SimulationError):
    """An exception left a callback or a task unhandled; `__cause__` is that exception."""


class NoCurrentHost(SimulationError):
    """A wildcard, loopback or ambiguous address was used by code that runs on no host."""


class BadTopology(SimulationError):
    """Hosts, addresses or boxes that cannot be put together so."""


class BadLatencyFile(SimulationError):
    """The file is not a strictly lower triangle of round-trip times."""


class ExtraMissing(SimulationError):
    """A library of an extra is not installed; the message says how to install it."""


class GatewayRefused(SimulationError):
    """The gateway's answer to a port mapping request; `code` is the UPnP error code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the gateway refused: {reason} (UPnP error {code})")
        self.code = code
