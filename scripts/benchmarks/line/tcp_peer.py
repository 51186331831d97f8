"""One end of a TCP connection with the kernel's CUBIC, steered as `link/peer.py` is.

The receiver prints its port, the sender nothing of use; each reads the other's line and connects.
"""

import json
import socket
import sys
import threading
import time
from dataclasses import dataclass

_CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Options:
    """What the process is told: `sends` decides the role, `address` is the receiver's."""

    sends: bool
    address: str


class Counted:
    """What has been received so far."""

    def __init__(self) -> None:
        self.received_bytes = 0


def say(line: object) -> None:
    """Print one line for the parent."""
    print(json.dumps(line), flush=True)


def receive(connection: socket.socket, counted: Counted) -> None:
    """Count what arrives until the sender is gone."""
    buffer = bytearray(_CHUNK_BYTES)
    while size := connection.recv_into(buffer):
        counted.received_bytes += size


def send(connection: socket.socket) -> None:
    """Send for ever, as fast as the connection takes it."""
    data = bytes(_CHUNK_BYTES)
    while True:
        try:
            connection.sendall(data)
        except OSError:
            return


def main(options: Options) -> None:
    """Connect, then send or receive until the input ends."""
    counted = Counted()
    if options.sends:
        say(0)
        port = json.loads(sys.stdin.readline())
        connection = socket.socket()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        connection.connect((options.address, port))
        work = threading.Thread(target=send, args=(connection,), daemon=True)
    else:
        server = socket.create_server((options.address, 0))
        say(server.getsockname()[1])
        sys.stdin.readline()
        connection, _ = server.accept()
        work = threading.Thread(target=receive, args=(connection, counted), daemon=True)
    work.start()
    say("open")
    while sys.stdin.readline():
        say([time.perf_counter(), time.process_time(), counted.received_bytes])


if __name__ == "__main__":
    main(Options(**json.loads(sys.argv[1])))
