"""One end of a bare UDP echo, steered as `link/echo_peer.py` is: what a line itself takes.

The end that sends back prints its port, the other nothing of use; each reads the other's line.
"""

import json
import os
import socket
import sys
import threading
import time

_MESSAGE_BYTES = 100
_PATIENCE_S = 10.0


def say(line: object) -> None:
    """Print one line for the parent."""
    print(json.dumps(line), flush=True)


def send_back(port: socket.socket) -> None:
    """Send each datagram to where it came from."""
    while True:
        port.sendto(*port.recvfrom(_MESSAGE_BYTES))


def main(*, sends: bool, address: str) -> None:
    """Send there and back until the input ends; the address is that of the end that sends back."""
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if not sends:
        port.bind((address, 0))
        threading.Thread(target=send_back, args=(port,), daemon=True).start()
    say(None if sends else port.getsockname()[1])
    theirs = json.loads(sys.stdin.readline())
    if sends:
        port.settimeout(_PATIENCE_S)
        port.connect((address, theirs))
    say("open")
    message = os.urandom(_MESSAGE_BYTES)
    while sys.stdin.readline():
        began = time.perf_counter()
        port.send(message)
        port.recv(_MESSAGE_BYTES)
        say(time.perf_counter() - began)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
