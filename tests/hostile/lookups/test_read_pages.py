"""The pages that a read turns: a contact claims to hold most, and sends what it has made up."""

from typing import Any

from protocol import limits, records
from protocol.identity import Identity
from protocol.overlay.messages import Method, Request
from protocol.records import ProviderBody
from simulations.attacks.raw_peer import RawPeer
from simulations.internet.latency import UniformLatency
from simulations.residents.world import World
from simulations.seeds import derive_rng

MOD = bytes(range(32))


def identity(number: int) -> Identity:
    return Identity(derive_rng(1, "publisher", number).randbytes(32))


async def test_a_contact_that_claims_to_hold_most_does_not_fill_what_is_read() -> None:
    world = World(1, latency=UniformLatency(0.05))
    await world.populate(6)
    honest = [identity(seed) for seed in range(100, 160)]
    fakes = [identity(seed) for seed in range(200, 200 + limits.STORE_VALUES_PER_KEY)]
    now = world.loop.wall_time()

    def provider(publisher: Identity) -> records.Record:
        body = ProviderBody(MOD, complete=True)
        return records.make(publisher, records.PROVIDER, body, now=now, sequence=1)

    key = records.provider_key(MOD)
    for publisher in honest:
        await world.residents[1].running.server.publish(provider(publisher))
    late = world.add()  # it stores none of them itself
    await late.start()
    await late.running.joined.wait()
    reader = late.running.server
    lies = [provider(one).raw for one in fakes]

    def lie(request: Request) -> list[Any]:
        skip = request.arguments[2]
        return [b"", b"", lies[skip : skip + 5], len(lies), b""]

    liar = RawPeer(identity(99), {Method.PING: lambda _: [1], Method.FIND_VALUE: lie})
    await liar.move_in(world.internet)
    reader.protocol.maintenance.answered(liar.contact)
    reading = await reader.read(key, records.PROVIDER)
    await reader.read_more(reading, key, records.PROVIDER)
    true = {one.public_key for one in honest} & set(reading.records)
    assert len(true) == len(honest)
    assert len(reading.records) > len(true), "it was asked as well"
    await world.close()
