"""A registrar proves its registrations; a contact that only claims one gets no call to drop."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from protocol import limits, records
from protocol.description import Description
from protocol.errors import (
    BadSignature,
    Expired,
    IssuedInFuture,
    Malformed,
    ModswarmError,
    WrongKey,
)
from protocol.identity import Identity
from protocol.overlay.messages import Code, Method, Request
from protocol.overlay.registration_proof import (
    REGISTRATION_PROOF_BYTES,
    check_registration_proof,
    make_registration_proof,
)
from protocol.signaling import Offer
from simulations.attacks.raw_peer import RawPeer
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World
from simulations.seeds import derive_rng
from tests.node.overlay.network import describing, description

NOW = 1_790_000_000.0
PEER, OTHER = Identity(bytes(range(32))), Identity(bytes(range(1, 33)))
REGISTRAR = bytes(20)


def _check(data: bytes, now: float = NOW, **changes: bytes) -> None:
    names = {"peer_id": PEER.peer_id, "registrar_id": REGISTRAR, **changes}
    check_registration_proof(data, now=now, **names)


def test_a_registration_holds_for_one_peer_one_registrar_and_its_time() -> None:
    proof = make_registration_proof(PEER, REGISTRAR, NOW)
    assert len(proof) == REGISTRATION_PROOF_BYTES == 104
    _check(proof)
    _check(proof, now=NOW + limits.REGISTRATION_S - 1)
    _check(proof, now=NOW - limits.CLOCK_SKEW_S)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda good: _check(good[:-1]), Malformed),
        (lambda good: _check(b""), Malformed),
        (lambda good: _check(good, registrar_id=bytes(19) + b"\1"), BadSignature),
        (lambda good: _check(good, peer_id=OTHER.peer_id), WrongKey),
        (lambda good: _check(OTHER.public_key + good[32:]), WrongKey),
        (lambda good: _check(good, now=NOW + limits.REGISTRATION_S), Expired),
        (lambda good: _check(good, now=NOW - limits.CLOCK_SKEW_S - 1), IssuedInFuture),
        (lambda good: _check(good[:39] + bytes((good[39] ^ 1,)) + good[40:]), BadSignature),
        (lambda good: _check(good[:-1] + bytes((good[-1] ^ 1,))), BadSignature),
        (lambda good: _check(good[:32] + b"\xff" * 8 + good[40:]), IssuedInFuture),
    ],
)
def test_every_other_proof_is_refused_by_name(
    spoil: Callable[[bytes], None], error: type[ModswarmError]
) -> None:
    with pytest.raises(error):
        spoil(make_registration_proof(PEER, REGISTRAR, NOW))


LIARS = 12


async def test_contacts_that_only_claim_to_reach_a_peer_get_no_call_to_drop() -> None:
    world, callee, caller = await _world()
    server = callee.running.server
    # The best of forgeries: a real proof, for another registrar.
    (honest, *_) = callee.running.registrations.registrars
    real = make_registration_proof(callee.identity, honest.peer_id, world.loop.wall_time())
    record = callee.running.presence.peer_record()
    liars = [await _liar(world, number, record.raw, real) for number in range(LIARS)]
    for liar in liars:
        caller.running.server.protocol.maintenance.answered(liar.contact)
    with caller.host.running():
        reading = await caller.running.server.read(server.identity.peer_id, records.PEER)
        result = await caller.running.caller.call(callee.identity.peer_id, describing())
    registrars = {contact.peer_id for contact in reading.registrars}
    assert registrars
    assert not registrars & {liar.identity.peer_id for liar in liars}
    assert caller.running.server.counters.refused["bad_signature"] >= LIARS // 2
    assert result.description == description(2)
    asked = [one for liar in liars for one in liar.requests]
    assert any(one.method == Method.FIND_VALUE for one in asked)
    assert not any(one.method == Method.SIGNAL for one in asked)
    await world.close()


async def _world() -> tuple[World, Resident, Resident]:
    world = World(3, latency=UniformLatency(0.05))
    await world.populate(12)
    callee, caller = (world.add(unreachable=True) for _ in range(2))
    for one in (callee, caller):
        await one.start()
        await one.running.registrations.registered.wait()

    async def on_offer(_: Offer) -> Description:
        return description(2)

    callee.running.callee.accept_calls(on_offer)
    return world, callee, caller


async def _liar(world: World, number: int, record: bytes, proof: bytes) -> RawPeer:
    def find_value(_: Request) -> list[Any]:
        return [b"", b"", [record], 1, proof]

    identity = Identity(derive_rng(3, "liar", number).randbytes(32))
    liar = RawPeer(
        identity,
        {
            Method.PING: lambda _: [1],
            Method.MEET: lambda _: [1],
            Method.FIND_NODE: lambda _: [b"", b"", [], 0, b""],
            Method.FIND_VALUE: find_value,
        },
    )
    await liar.move_in(world.internet)
    return liar


async def test_a_registrar_takes_only_a_registration_for_itself() -> None:
    world = World(3, latency=UniformLatency(0.05))
    await world.populate(2)
    resident = world.residents[0]
    peer = RawPeer(PEER, {})
    await peer.move_in(world.internet)
    await peer.ask(Method.PING, [], resident.contact)
    now = world.loop.wall_time()
    body = records.PeerBody((), 0, (1, 1), 0)
    record = records.make(PEER, records.PEER, body, now=now, sequence=1).raw
    own = make_registration_proof(PEER, resident.identity.peer_id, now)
    for proof, code in (
        (b"", Code.MALFORMED),
        (make_registration_proof(PEER, OTHER.peer_id, now), Code.NOT_AUTHENTIC),
        (make_registration_proof(OTHER, resident.identity.peer_id, now), Code.WRONG_KEY),
        (make_registration_proof(PEER, resident.identity.peer_id, now - 3600), Code.EXPIRED),
        (own, Code.OK),
    ):
        response = await peer.ask(Method.REGISTER, [record, proof], resident.contact)
        assert response is not None
        assert response.code == code
        held = resident.running.server.registrar.registration_proof_for(PEER.peer_id)
        assert held == (proof if code == Code.OK else b"")
    response = await peer.ask(
        Method.FIND_VALUE, [PEER.peer_id, records.PEER, 0, 3], resident.contact
    )
    assert response is not None
    assert response.result[2:] == [[record], 1, own]
    await asyncio.sleep(0)
    await world.close()
