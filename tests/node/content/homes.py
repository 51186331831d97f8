"""Homes of nodes as they lie on a disk."""

import random
from pathlib import Path

from node.content.vault.vault import Vault
from node.environment import Environment
from node.home import Home
from node.links.secure.certificate import load_or_create
from tests.identities import give_identities

TOKEN = "0123456789abcdef" * 4


async def made_home(folder: Path, number: int = 0) -> Path:
    """A home with all that a node keeps in it."""
    give_identities([folder], number)
    home = Home.open(folder)
    load_or_create(home.certificate, Environment(rng=random.Random(number)))
    home.write_control("127.0.0.1:1", TOKEN)
    home.save_contacts([])
    await (await Vault.open(home.vault)).close()
    home.close()
    (folder / "config.toml").write_text('relay = "on"\nrelay_secret = "x"\n')
    return folder
