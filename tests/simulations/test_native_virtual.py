"""The native data path in virtual time: it opens, carries and repeats itself, whatever is lost."""

import asyncio
import random
from collections.abc import Callable

import pytest

from node.links.channel import native_channel, stock_channel
from node.links.channel.channel import Channel
from simulations.internet import Faults, Internet, UniformLatency
from simulations.libraries.dtls_flights import FIRST_DELAY_S
from simulations.libraries.seams import virtual_libraries
from simulations.residents.bare_links import open_link
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.running import run_virtually
from tests.simulations.test_aiortc_virtual import LosesOne

RTT_S = 0.050


def new_internet(seed: int = 1) -> Internet:
    return Internet(VirtualLoop(), seed, UniformLatency(RTT_S))


async def exchange(internet: Internet, count: int) -> tuple[float, list[list[bytes]]]:
    """Open a link, send `count` messages each way, close; returns when it was open, and all."""
    hosts = (internet.add_host(), internet.add_host())
    ends = await open_link(internet, hosts, "link")
    channels = [end.channel for end in ends]
    opened_at = internet.loop.now
    received: list[list[bytes]] = [[], []]
    done = asyncio.Event()

    def taker(into: list[bytes]) -> Callable[[bytes], None]:
        def take(message: bytes) -> None:
            into.append(message)
            if all(len(one) == count for one in received):
                done.set()

        return take

    rng = random.Random(internet.seed)
    for host, channel, into in zip(hosts, channels, received, strict=True):
        channel.receiver = taker(into)
        with host.running():
            for _ in range(count):
                channel.send(rng.randbytes(rng.randrange(60_000)))
    if count:
        await done.wait()
    await _close(*channels)
    for end in ends:
        await end.close()
    assert not any(host.sockets for host in hosts)
    return opened_at, received


async def _close(one: Channel, other: Channel) -> None:
    await one.close("done")
    assert (await asyncio.shield(other.closed)).startswith("closed by the peer")
    await other.close()


@pytest.mark.parametrize(("inits", "round_trips"), [("described", 3.0), ("by handshake", 4.5)])
def test_a_link_is_open_within_a_few_round_trips(
    inits: str, round_trips: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the descriptions on: ICE takes one, DTLS two, and SCTP none if it is described."""
    if inits == "by handshake":
        monkeypatch.setattr(native_channel, "describe_init", stock_channel.describe_init)
    internet = new_internet()
    with virtual_libraries(internet):
        opened_at, _ = run_virtually(exchange(internet, 0), internet.loop)
    assert opened_at == pytest.approx(round_trips * RTT_S, abs=0.01)


@pytest.mark.parametrize("position", range(4))
def test_a_lost_flight_of_the_handshake_costs_a_virtual_second(position: int) -> None:
    internet = new_internet()
    LosesOne(internet, position)
    with virtual_libraries(internet):
        opened_at, received = run_virtually(exchange(internet, 3), internet.loop)
    assert FIRST_DELAY_S < opened_at < FIRST_DELAY_S + 0.2
    assert [len(one) for one in received] == [3, 3]


def test_one_seed_gives_one_history_on_a_bad_path() -> None:
    def history(seed: int) -> tuple[str, float, list[list[bytes]]]:
        internet = new_internet(seed)
        internet.carrier.set_faults(Faults(loss=0.03, duplicate=0.01), jitter_s=0.002)
        with virtual_libraries(internet):
            opened_at, received = run_virtually(exchange(internet, 20), internet.loop)
        return internet.log.digest(), opened_at, received

    first, again, other = history(5), history(5), history(6)
    assert first == again
    assert first[0] != other[0]
    assert [len(one) for one in first[2]] == [20, 20]
