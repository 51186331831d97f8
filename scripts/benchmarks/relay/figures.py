"""What relaying costs: our relay by pairs beside coturn, on loopback, in one run.

At coturn the receiver is a plain peer behind a relayed port, so that each byte passes it once, as
it passes ours between two allocations.
"""

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import psutil

from protocol.addresses import Address
from protocol.stun.message import StunClass, StunMessage, StunMethod, encode_stun
from protocol.turn.grant import RelayGrant, RelayTerms, decode_grant
from scripts.benchmarks.process import Process
from scripts.benchmarks.relay import relayed
from scripts.benchmarks.relay.ends import End, flow
from scripts.benchmarks.relay.relayed import RELAY

_BYTES = {True: 400_000_000, False: 80_000_000}
_KINDS = {"joined": True, "not joined": False}


def run(runs: int) -> dict[str, Any]:
    """CPU ms per MB of each relay and the goodput, medians of so many runs."""
    figures: dict[str, Any] = {"direct, joined MB/s": _median(runs, lambda: _direct(joined=True))}
    for kind, joined in _KINDS.items():
        results = [_ours(joined=joined) for _ in range(runs)]
        figures[f"ours, {kind}"] = _shown(results)
        if shutil.which("turnserver") is not None:
            figures[f"coturn, {kind}"] = _shown([_coturn(joined=joined) for _ in range(runs)])
    figures["links through the relay"] = relayed.run()
    return figures


def _median(runs: int, measure: Any) -> float:
    return float(round(sorted(measure() for _ in range(runs))[runs // 2], 1))


def _shown(results: list[tuple[float, float]]) -> dict[str, float]:
    middle = len(results) // 2
    return {
        "CPU ms per MB": round(sorted(cpu for cpu, _ in results)[middle], 2),
        "MB/s": round(sorted(rate for _, rate in results)[middle], 1),
    }


def _direct(*, joined: bool) -> float:
    with _ends() as (sender, receiver):
        return flow(sender, receiver, receiver.address, _BYTES[joined], joined=joined)


@contextlib.contextmanager
def _ends() -> Iterator[tuple[End, End]]:
    sender, receiver = End(), End()
    try:
        yield sender, receiver
    finally:
        sender.close()
        receiver.close()


def _measured(
    process: psutil.Process, sender: End, receiver: End, peer: Address, *, joined: bool
) -> tuple[float, float]:
    """CPU ms of the relay per MB, and the MB/s."""
    before = process.cpu_times()
    rate = flow(sender, receiver, peer, _BYTES[joined], joined=joined)
    after = process.cpu_times()
    spent_s = after.user + after.system - before.user - before.system
    return spent_s * 1000 / (_BYTES[joined] / 1e6), rate


def _ours(*, joined: bool) -> tuple[float, float]:
    relay = Process(RELAY, {"address": "127.0.0.1"})
    try:
        address = Address(*relay.hear())
        with _ends() as (sender, receiver):
            relayed = []
            for number, end in enumerate((sender, receiver)):
                relay.tell([number, *end.address])
                relayed.append(end.allocate(address, decode_grant(relay.hear()), 6))
            sender.permit(relayed[1])
            receiver.permit(relayed[0])
            process = psutil.Process(relay.pid)
            return _measured(process, sender, receiver, relayed[1], joined=joined)
    finally:
        relay.end()


def _coturn(*, joined: bool) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder, _ends() as (sender, receiver):
        address = Address("127.0.0.1", _free_port())
        server = subprocess.Popen(
            [
                *("turnserver", "-n", "-L", "127.0.0.1", "-E", "127.0.0.1"),
                *("-p", str(address.port), "--allow-loopback-peers", "--no-cli", "--no-tls"),
                *("--no-dtls", "--lt-cred-mech", "-u", "user:pass", "-r", "bench"),
                *("--pidfile", f"{folder}/pid", "--db", f"{folder}/db", "--log-file", "stdout"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_until_answering(address)
            grant = RelayGrant("user", "pass", "", "", 3600, RelayTerms(600, 1, 1, 1))
            sender.allocate(address, grant, 4)
            sender.permit(receiver.address)
            process = psutil.Process(server.pid)
            return _measured(process, sender, receiver, receiver.address, joined=joined)
        finally:
            server.kill()
            server.wait()


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def _wait_until_answering(address: Address) -> None:
    request = encode_stun(StunMessage(StunClass.REQUEST, StunMethod.BINDING, bytes(12)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(0.2)
        for _ in range(100):
            asker.sendto(request, address)
            with contextlib.suppress(OSError):
                asker.recv(2048)
                return
    raise RuntimeError("coturn does not answer")
