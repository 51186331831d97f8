"""Figures of the association on modelled paths, and its cost in CPU.

python -m tests.protocol.sctp.measure_sctp [paths] [fairness] [cpu]
"""

import sys
import time
from random import Random

from protocol.sctp.config import Role
from protocol.sctp.send.congestion import FixedWindow
from tests.protocol.sctp.model_cubic import PACKET_BYTES, CubicFlow
from tests.protocol.sctp.model_link import (
    DATAGRAM_OVERHEAD_BYTES,
    Bottleneck,
    Direction,
    Faults,
    Host,
    Pair,
    World,
    join,
    make_association,
)

_BUSY_SHARE = 0.3

PACKET = 1188
CHUNK_PAYLOAD = PACKET - 12 - 16
PAYLOAD_SHARE = CHUNK_PAYLOAD / (PACKET + DATAGRAM_OVERHEAD_BYTES)


def bulk_pair(
    world: World,
    bottleneck: Bottleneck,
    rtt_s: float,
    *,
    faults: Faults | None = None,
    back_faults: Faults | None = None,
    seed: int = 1,
    own_peer: bool = True,
    message: bytes = bytes(65536),
    wake_s: float = 0.0,
) -> Pair:
    """Return a connected pair whose client sends for ever."""
    pair = join(
        world,
        make_association(Role.CLIENT, seed, own_peer=own_peer),
        make_association(Role.SERVER, seed + 1000, own_peer=own_peer),
        seed=seed,
        rtt_s=rtt_s,
        forward=bottleneck,
        faults=faults,
        back_faults=back_faults,
        wake_s=wake_s,
    )
    pair.server.keep_messages = False
    pair.connect()
    stream_id = pair.client.association.open_channel("bulk")
    pair.client.send_forever(stream_id, message)
    return pair


def received_after(host: Host, world: World, start: float, end: float) -> float:
    """Run to `end` and return the application bytes per second since `start`."""
    world.run(start)
    before = host.received_bytes
    world.run(end)
    return (host.received_bytes - before) / (end - start)


def shaped(
    line_bits: float,
    rtt_s: float,
    queue_bdp: float,
    *,
    loss: float = 0.0,
    reorder: float = 0.0,
    start: float = 2.0,
    seconds: float = 20.0,
    seed: int = 1,
    own_peer: bool = True,
    wake_s: float = 0.0,
    queue_s: float | None = None,
) -> dict[str, float]:
    """Measure one flow alone on a line; `share` counts from `start` on."""
    world = World()
    rate = line_bits / 8
    queue_bytes = rate * (queue_s if queue_s is not None else queue_bdp * rtt_s)
    bottleneck = Bottleneck(rate, queue_bytes)
    faults = Faults(loss=loss, reorder=reorder)
    pair = bulk_pair(
        world, bottleneck, rtt_s, faults=faults, seed=seed, own_peer=own_peer, wake_s=wake_s
    )
    speed = received_after(pair.server, world, start, start + seconds)
    sender = pair.client.association.sender
    assert sender is not None
    return {
        "share": speed / (rate * PAYLOAD_SHARE),
        "worst_delay_ms": bottleneck.worst_delay_s() * 1000,
        "steady_delay_ms": bottleneck.worst_delay_s(start) * 1000,
        "repeated": sender.repeated_chunks,
        "lost": pair.forward.lost + bottleneck.dropped,
        "timeouts": sender.timeouts,
    }


def busy(line_bits: float, rtt_s: float, absent_s: float, *, seed: int = 1) -> dict[str, float]:
    """Measure a flow between machines that are busy elsewhere at times, for up to `absent_s`."""
    world = World()
    rate = line_bits / 8
    bottleneck = Bottleneck(rate, rate * 0.05)
    pair = bulk_pair(world, bottleneck, rtt_s, seed=seed)
    random = Random(seed)

    def turn() -> None:
        for host in (pair.client, pair.server):
            host.wake_s = absent_s * random.random() if random.random() < _BUSY_SHARE else 0.0
        world.at(world.now + 0.001, turn)

    turn()
    speed = received_after(pair.server, world, 1.0, 4.0)
    return {
        "share": speed / (rate * PAYLOAD_SHARE),
        "steady_delay_ms": bottleneck.worst_delay_s(1.0) * 1000,
    }


def against_cubic(
    line_bits: float,
    rtt_s: float,
    queue_bdp: float,
    seconds: float,
    *,
    seed: int = 1,
    cubic_first_s: float = 0.0,
    own_first_s: float = 0.0,
) -> float:
    """Return our share of what both flows delivered."""
    world = World()
    rate = line_bits / 8
    bottleneck = Bottleneck(rate, rate * rtt_s * queue_bdp)
    random = Random(seed)
    cubic = CubicFlow(
        world,
        Direction(world, random, bottleneck, rtt_s / 2),
        Direction(world, random, Bottleneck(), rtt_s / 2),
    )
    world.at(own_first_s, cubic.start)
    world.run(cubic_first_s)
    pair = bulk_pair(world, bottleneck, rtt_s, seed=seed)
    began = max(own_first_s, cubic_first_s)
    world.run(began)
    before, cubic_before = pair.server.received_bytes, cubic.delivered
    world.run(began + seconds)
    ours = (pair.server.received_bytes - before) / PAYLOAD_SHARE
    theirs = (cubic.delivered - cubic_before) * PACKET_BYTES
    return ours / (ours + theirs)


def against_itself(
    line_bits: float,
    rtt_s: float,
    queue_bdp: float,
    seconds: float,
    *,
    flows: int = 2,
    seed: int = 1,
    stagger_s: float = 1.0,
    other_rtt_s: float | None = None,
) -> float:
    """Return Jain's index over flows that begin one after another."""
    world = World()
    rate = line_bits / 8
    bottleneck = Bottleneck(rate, rate * rtt_s * queue_bdp)
    pairs = []
    for number in range(flows):
        world.run(number * stagger_s)
        rtt = other_rtt_s if number and other_rtt_s else rtt_s
        pairs.append(bulk_pair(world, bottleneck, rtt, seed=seed + 10 * number))
    before = [pair.server.received_bytes for pair in pairs]
    world.run(world.now + seconds)
    got = [pair.server.received_bytes - had for pair, had in zip(pairs, before, strict=True)]
    return sum(got) ** 2 / (flows * sum(share * share for share in got))


def cpu(own_peer: bool, megabytes: int = 130, message_bytes: int = 65536) -> dict[str, float]:
    """Time two associations in one process, without a path between them."""

    def fixed(packet_bytes: int, offset: int) -> FixedWindow:
        return FixedWindow(4 << 20)

    client = make_association(Role.CLIENT, 1, fixed, own_peer=own_peer)
    server = make_association(Role.SERVER, 2, fixed, own_peer=own_peer)
    now = 1.0
    for association in (client, server):
        association.connect(now)
    stream_id = client.open_channel("bulk")
    message = Random(1).randbytes(message_bytes)
    clock = time.process_time
    sending = receiving = acknowledging = 0.0
    count = megabytes * 1_000_000 // message_bytes
    sent = received = packets = 0
    while received < count:
        now += 1e-4
        began = clock()
        while sent < count and client.connected and client.buffered_amount(stream_id) < 1 << 20:
            client.send(stream_id, message, now)
            sent += 1
        datagrams = client.datagrams_to_send(now)
        packets += len(datagrams)
        after_send = clock()
        server.receive_burst(datagrams, now)
        received += sum(1 for event in server.events() if hasattr(event, "binary"))
        answers = server.datagrams_to_send(now)
        after_receive = clock()
        client.receive_burst(answers, now)
        client.handle_timer(now)
        client.events()
        sending += after_send - began
        receiving += after_receive - after_send
        acknowledging += clock() - after_receive
    total = sending + receiving + acknowledging
    return {
        "MBps_both_sides": count * message_bytes / 1e6 / total,
        "send_us_per_packet": (sending + acknowledging) / packets * 1e6,
        "receive_us_per_packet": receiving / packets * 1e6,
    }


def show(name: str, figures: dict[str, float]) -> None:
    """Print one row."""
    row = "  ".join(f"{key} {value:.3f}" for key, value in figures.items())
    sys.stdout.write(f"{name:42} {row}\n")
    sys.stdout.flush()


def main(parts: list[str]) -> None:
    """Measure what the goals of the data path name."""
    if "paths" in parts:
        for name, loss, reorder in (
            ("no loss", 0.0, 0.0),
            ("0.1 % loss", 0.001, 0.0),
            ("1 % loss", 0.01, 0.0),
            ("2 % loss", 0.02, 0.0),
            ("1 % reordered", 0.0, 0.01),
        ):
            show(
                f"100 Mbit/s 50 ms 1 BDP, {name}",
                shaped(100e6, 0.05, 1, loss=loss, reorder=reorder),
            )
        show(
            "10 Mbit/s 200 ms 1 BDP, 1 % loss", shaped(10e6, 0.2, 1, loss=0.01, start=0, seconds=60)
        )
        show("10 Mbit/s 50 ms, 1 s queue", shaped(10e6, 0.05, 0, queue_s=1.0, seconds=40))
        show("100 Mbit/s 50 ms, foreign peer", shaped(100e6, 0.05, 1, own_peer=False))
        show("100 Mbit/s 0.5 ms, busy for 10 ms", busy(100e6, 0.0005, 0.01))
        show("100 Mbit/s 2 ms, 1 BDP", shaped(100e6, 0.002, 1, seconds=10))
    if "fairness" in parts:
        for seed in (1, 2):
            figures = {
                "against CUBIC": against_cubic(100e6, 0.05, 2, 60, seed=seed),
                "jain": against_itself(100e6, 0.05, 2, 60, seed=seed),
            }
            show(f"100 Mbit/s 50 ms 2 BDP 60 s, seed {seed}", figures)
    if "cpu" in parts:
        for own_peer in (True, False):
            runs = [cpu(own_peer) for _ in range(5)]
            best = max(runs, key=lambda figures: figures["MBps_both_sides"])
            show(f"CPU, {'own' if own_peer else 'foreign'} peer, best of 5", best)


if __name__ == "__main__":
    main(sys.argv[1:] or ["paths", "fairness", "cpu"])
