"""One seed, one history: the same hash again, in another process, under another PYTHONHASHSEED."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.internet import (
    Access,
    Burst,
    Dependence,
    EventLog,
    Fate,
    Faults,
    Host,
    Internet,
    Kind,
    NatBehaviour,
    PortAssignment,
    SyntheticLatency,
)
from simulations.internet.log import FLUSH_BYTES, is_handshake, kind_of
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng, derive_seed

PORT = 4001
SECONDS = 20.0


class Gossip(asyncio.DatagramProtocol):
    """Sends what it hears on to a random host, and starts a task for some of it."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._transport: Any = None
        self._tasks: set[asyncio.Task[None]] = set()  # a set on purpose: its order must not matter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        rng = self._world.rng
        if rng.random() < 0.9 and not self._transport.is_closing():
            self._transport.sendto(data, rng.choice([addr, rng.choice(self._world.addresses)]))
        if rng.random() < 0.1:
            self._tasks.add(asyncio.ensure_future(self.think(data)))

    async def think(self, data: bytes) -> None:
        try:
            await asyncio.sleep(self._world.rng.random() * 30.0)
        finally:
            if not self._transport.is_closing():
                self._transport.sendto(data, self._world.rng.choice(self._world.addresses))

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


class World:
    """Thirty hosts with everything switched on."""

    def __init__(self, seed: int) -> None:
        self.loop = VirtualLoop()
        self.internet = Internet(self.loop, seed, SyntheticLatency(seed, 40))
        self.rng = derive_rng(seed, "world")
        self.addresses: list[tuple[str, int]] = []
        self.gossips: list[Gossip] = []
        faults = Faults(
            loss=0.02,
            burst=Burst(0.01, 0.3),
            reorder=0.05,
            duplicate=0.02,
            corrupt=0.02,
            mtu_bytes=1400,
        )
        self.internet.carrier.set_faults(faults, jitter_s=0.005)

    def _host(self, number: int) -> tuple[Host, str]:
        access = Access(up_bytes_s=50_000.0, down_bytes_s=200_000.0, queue_bytes=20_000)
        if number % 3:
            host = self.internet.add_host(access=access if number % 2 else None)
            return host, host.addresses[0]
        behaviour = NatBehaviour(
            Dependence(number % 2), Dependence.ENDPOINT_INDEPENDENT, PortAssignment(number % 2)
        )
        box = self.internet.add_nat(behaviour, access=access)
        return self.internet.add_host(behind=box), box.address()

    async def live(self) -> str:
        for number in range(30):
            host, address = self._host(number)
            with host.running():
                transport, gossip = await self.loop.create_datagram_endpoint(
                    lambda: Gossip(self), local_addr=("0.0.0.0", PORT)
                )
            transport.sendto(bytes([number]), ("192.0.2.1", 1))
            self.addresses.append((address, PORT))
            assert isinstance(gossip, Gossip)
            self.gossips.append(gossip)
        hosts = self.internet.hosts
        self.loop.call_later(3.0, hosts[4].sleep)
        self.loop.call_later(9.0, hosts[4].wake)
        self.loop.call_later(5.0, self.internet.carrier.partition, hosts[:7], hosts[7:15])
        self.loop.call_later(8.0, self.internet.carrier.heal)
        self.loop.call_later(10.0, self.internet.move, hosts[5])
        self.loop.call_later(11.0, self.internet.crash, hosts[7])
        async with asyncio.TaskGroup() as group:
            for gossip in self.gossips:
                for first in (0x16, 0x17, 0xD0, 1, 70):
                    data = bytes([first]) * self.rng.randrange(1, 1500)
                    group.create_task(gossip.think(data))
            await asyncio.sleep(SECONDS)
        for gossip in self.gossips:
            gossip.stop()
        await asyncio.sleep(1.0)
        return self.internet.log.digest()


def history(seed: int) -> tuple[str, int, dict[Fate, int]]:
    world = World(seed)
    digest = run_virtually(world.live(), world.loop)
    return digest, world.internet.log.events, world.internet.carrier.dropped


def test_a_seed_has_one_history_and_another_seed_another() -> None:
    first, again, other = history(1), history(1), history(2)
    assert first == again
    assert first[0] != other[0]
    dropped = first[2]
    for fate in (Fate.LOST, Fate.PARTITIONED, Fate.HOST_ABSENT, Fate.TOO_BIG, Fate.UNROUTABLE):
        assert dropped[fate] > 0, "the scenario is meant to hold everything"


@pytest.mark.parametrize("seed", [1, 2])
def test_a_history_does_not_depend_on_the_process(seed: int) -> None:
    code = f"import test_determinism_loop as t; print(*t.history({seed})[:2])"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ
            | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "4242")
    }
    digest, events, _ = history(seed)
    assert outputs == {f"{digest} {events}\n"}


# the log


def test_the_log_sees_order_time_ends_kind_and_fate() -> None:
    base = [(1.0, 1, 2, 0, 0), (2.0, 2, 1, 0, 0)]

    def digest(events: list[tuple[float, int, int, int, int]]) -> str:
        log = EventLog()
        for event in events:
            log.add(*event)
        return log.digest()

    seen = {digest(base), digest(base[::-1]), digest(base[:1])}
    for position, value in enumerate((1.001, 3, 3, 1, 1)):
        changed = list(base[0])
        changed[position] = value
        seen.add(digest([tuple(changed), base[1]]))  # type: ignore[list-item]
    assert len(seen) == 8


def test_the_log_sees_the_words_of_an_event() -> None:
    digests = set()
    for text in ("192.0.2.1 1", "192.0.2.1 2", "192.0.2.2 1"):
        log = EventLog()
        log.add_text(1.0, Fate.UNROUTABLE, text)
        digests.add(log.digest())
    assert len(digests) == 3


def test_the_log_rounds_time_to_microseconds() -> None:
    digests = set()
    for time in (1.0, 1.0000001, 0.9999999):
        log = EventLog()
        log.add(time, 1, 2, 0, 0)
        digests.add(log.digest())
    assert len(digests) == 1


@given(st.lists(st.integers(0, 3), max_size=50), st.integers(0, 50))
def test_asking_for_the_digest_changes_nothing(kinds: list[int], ask_at: int) -> None:
    asked, unasked = EventLog(), EventLog()
    for number, kind in enumerate(kinds):
        if number == ask_at:
            asked.digest()
        for log in (asked, unasked):
            log.add(number, 1, 2, kind, 0)
            log.add_text(number, Fate.UNROUTABLE, "x" * kind)
    assert asked.digest() == unasked.digest()


def test_a_long_log_stays_small() -> None:
    log = EventLog()
    for number in range(20_000):
        log.add(float(number), 1, 2, 0, 0)
    assert log.pending_bytes <= FLUSH_BYTES + 32


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", Kind.EMPTY),
        (b"\x00\x01", Kind.STUN),
        (b"\x03", Kind.STUN),
        (b"\x16\xfe", Kind.DTLS),
        (b"\x3f", Kind.DTLS),
        (b"\x40", Kind.OTHER),
        (b"\xd0", Kind.MODSWARM),
        (b"\xdf", Kind.MODSWARM),
        (b"\xe0", Kind.OTHER),
    ],
)
def test_kinds_by_first_byte(data: bytes, kind: Kind) -> None:
    assert kind_of(data) == kind


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_a_kind_does_not_depend_on_what_follows(first: bytes, second: bytes) -> None:
    if first and second:
        second = first[:1] + second[1:]
        assert kind_of(first) == kind_of(second)
        assert is_handshake(first) == is_handshake(second)


# seeds


def test_seeds_of_purposes_are_distinct_and_stable() -> None:
    purposes = [("faults",), ("ports",), ("a", "b"), ("ab",), ("a", "b", ""), (1,), ("1", 2)]
    assert len({derive_seed(1, *purpose) for purpose in purposes}) == len(purposes)
    assert derive_seed(1, "faults") != derive_seed(2, "faults")
    assert derive_seed(1, "faults") == 3108989003070008391  # in every release
    assert derive_rng(1, "x").random() == derive_rng(1, "x").random()
