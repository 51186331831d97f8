"""Key agreements, the costly step of a datagram: forged ones in the name of one key cost one.

Who may hold them: unknown keys, so many a second. How they are won back: by time; what a key has
cost once is remembered.
"""

import asyncio

from node.overlay.rpc.admission import RefusedAgreements
from protocol import datagrams, limits
from protocol.identity import Identity
from protocol.overlay.messages import Method
from simulations.attacks.raw_peer import RawPeer
from simulations.libraries.ciphers import RememberedAgreements
from simulations.residents.world import World, simulated_settings
from simulations.seeds import derive_rng

FORGED = 700


class CountingCipher(RememberedAgreements):
    """Counts the key agreements of a node with others."""

    def __init__(self) -> None:
        self.agreed: list[bytes] = []

    def keys(self, identity: Identity, public_key: bytes) -> datagrams.PacketKeys:
        self.agreed.append(public_key)
        return super().keys(identity, public_key)


async def test_forged_datagrams_of_one_key_cost_one_agreement() -> None:
    """And honest newcomers are admitted meanwhile, with no cookie."""
    cipher = CountingCipher()
    world = World(1, settings=simulated_settings(cipher=cipher))
    await world.populate(2)
    victim = world.residents[0]
    rng = derive_rng(1, "forgers")
    attacker, honest = (RawPeer(Identity(rng.randbytes(32)), {}) for _ in range(2))
    for peer in (attacker, honest):
        await peer.move_in(world.internet)
    await asyncio.sleep(1.0)
    cipher.agreed.clear()
    other = Identity(rng.randbytes(32))
    keys = RememberedAgreements().keys(other, victim.contact.public_key)
    body = bytes(60)
    sealed = datagrams.seal(cipher, other.public_key, keys.incoming, bytes(24), body)
    for _ in range(FORGED):
        attacker.transport.sendto(sealed, victim.contact.address)
    await asyncio.sleep(1.0)
    assert cipher.agreed.count(other.public_key) == 1
    assert await honest.ask(Method.PING, [], victim.contact) is not None
    refused = victim.running.server.counters.refused
    assert refused["not_authentic"] > 0
    assert refused["cookie_needed"] == 0
    await world.close()


def test_so_many_are_remembered() -> None:
    agreements = RefusedAgreements()
    keys = datagrams.PacketKeys(b"", b"")
    for number in range(limits.AGREEMENTS_REFUSED + 1):
        agreements.add(number.to_bytes(32), keys)
    assert agreements.get(bytes(32)) is None
    assert agreements.get((1).to_bytes(32)) is keys
    agreements.pop((1).to_bytes(32))
    assert agreements.get((1).to_bytes(32)) is None
