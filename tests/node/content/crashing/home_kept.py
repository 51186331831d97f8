"""A home that is broken off while it is made or written: its identity stays."""

import random
from pathlib import Path

from node.environment import Environment
from node.home import Home
from node.links.secure.certificate import load_or_create
from protocol.addresses import Address
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from tests.identities import SEEDS
from tests.node.content.crashing.life import Steps, told

_BITS = 0
"""Of the puzzle: a key that costs nothing."""
_LEFT = {
    *("certificate.pem", "contacts.json", "format.json", "identity.key", "lock"),
    *("control.json", "vault"),
}


class HomeKept:
    """A node makes its home, its identity and certificate, and saves contacts three times."""

    name = "home"

    async def prepare(self, world: Path) -> None:
        """Nothing is there before."""

    async def run(self, world: Path, steps: Steps) -> None:
        """As a node does from its first start on."""

        async def opened() -> Home:
            return Home.open(world / "disk" / "new" / "home")

        home = await steps.do(opened)

        async def identity() -> Identity:
            return home.identity(random.Random(), _BITS)

        async def control() -> None:
            home.write_control("127.0.0.1:1", "token")

        made = await steps.do(identity)
        steps.acknowledge("identity", made.seed.hex())
        certificate = load_or_create(home.certificate, Environment())
        if home.certificate.exists():  # a full disk leaves one for this run
            steps.acknowledge("certificate", certificate.fingerprint.hex())
        await steps.do(control)
        for seed in SEEDS[:3]:

            async def save(seed: bytes = seed) -> None:
                home.save_contacts([_contact(seed)])

            await steps.do(save)
            steps.acknowledge("contact", _contact(seed).packed.hex())
        home.remove_control()
        home.close()

    async def check(self, world: Path, acknowledged: list[str]) -> None:
        """What was made is what is loaded, and contacts are those saved last, or later ones."""
        home = Home.open(world / "disk" / "new" / "home")
        made = home.identity(random.Random(), _BITS)
        for (seed,) in told(acknowledged, "identity"):
            assert made.seed.hex() == seed, "a node has become another one"
        certificate = load_or_create(home.certificate, Environment())
        for (fingerprint,) in told(acknowledged, "certificate"):
            assert certificate.fingerprint.hex() == fingerprint
        known = [_contact(seed).packed.hex() for seed in SEEDS[:3]]
        saved = [contact.packed.hex() for contact in home.saved_contacts()]
        if noted := told(acknowledged, "contact"):
            assert saved, "contacts were saved"
            assert known.index(saved[0]) >= known.index(noted[-1][0])
        home.save_contacts([])
        home.write_control("127.0.0.1:1", "token")
        names = {path.name for path in home.path.iterdir()}
        assert names <= _LEFT, f"left behind: {sorted(names - _LEFT)}"
        home.close()


def _contact(seed: bytes) -> Contact:
    return Contact.at(Identity(seed).public_key, Address("192.0.2.1", 4001))
