"""From which addresses an ICE agent takes DTLS, and which STUN messages reach it."""

import asyncio
import random
from dataclasses import dataclass, field

from aioice import Candidate, stun

from node.environment import Environment
from node.links.path.agent import Agent
from node.links.settings import LinkSettings
from node.net.demux import RecordBuffers
from protocol.addresses import Address

LOCAL, NAMED, PROVED, OTHER = (Address("192.0.2.1", port) for port in range(1, 5))

HANDSHAKE = b"\x16" + bytes(20)
RECORD = b"\x17" + bytes(20)


@dataclass
class FakeSocket:
    """Where a check has arrived, and from where none is answered."""

    local_candidate: Candidate = field(
        default_factory=lambda: Candidate("1", 1, "udp", 1, *LOCAL, "host")
    )

    async def request(self, *_: object, **__: object) -> None:
        """What the agent asks in return."""
        await asyncio.Event().wait()


def make_agent() -> Agent:
    environment = Environment(rng=random.Random(5), host_addresses=list)
    return Agent([], LinkSettings(), environment, ("ours", "p" * 22))


def receive(agent: Agent, datagram: bytes, *sources: Address) -> None:
    arrivals = [(datagram, len(datagram), tuple(source)) for source in sources]
    agent.demux.burst_received(arrivals, LOCAL)


async def test_dtls_comes_from_addresses_that_the_peer_named_or_proved() -> None:
    agent = make_agent()
    taken: list[RecordBuffers] = []
    receive(agent, RECORD, NAMED, PROVED)
    assert agent.counters.refused == {"unknown_remote": 2}
    await agent.add_remote_candidate(Candidate("1", 1, "udp", 1, *NAMED, "host"))
    check = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes={"PRIORITY": 1})
    agent.remote_username, agent.remote_password = "theirs", "q" * 22
    agent.check_incoming(check, tuple(PROVED), FakeSocket())  # type: ignore[arg-type]
    agent.take_records = taken.append
    receive(agent, RECORD, NAMED, OTHER, PROVED)
    assert taken == [[(RECORD, len(RECORD))] * 2]
    assert agent.counters.refused == {"unknown_remote": 3}
    await agent.close()
    receive(agent, RECORD, NAMED, PROVED)
    assert len(taken) == 1
    assert agent.counters.refused == {"unknown_remote": 5}


async def test_records_that_come_before_the_link_takes_them_wait_with_the_handshake() -> None:
    agent = make_agent()
    await agent.add_remote_candidate(Candidate("1", 1, "udp", 1, *NAMED, "host"))
    await agent.add_remote_candidate(None)
    receive(agent, HANDSHAKE, NAMED)
    agent.demux.burst_received([(RECORD * 2, len(RECORD), tuple(NAMED))], LOCAL)
    receive(agent, HANDSHAKE, NAMED)
    queued = [agent._queue.get_nowait() for _ in range(agent._queue.qsize())]
    assert queued == [(datagram, 1) for datagram in (HANDSHAKE, RECORD, RECORD, HANDSHAKE)]
    await agent.close()
