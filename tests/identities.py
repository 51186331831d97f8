"""Identities for tests only: their seeds are public, so one that is used elsewhere has no secret.

A real identity costs two seconds of work, because its key must solve the puzzle. These numbers were
found once; each gives a seed that does.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from node.home import Home

_NUMBERS = (
    35405,
    75888,
    78194,
    174963,
    248510,
    358066,
    384078,
    460741,
    552374,
    581701,
    790077,
    805648,
)

SEEDS = tuple(hashlib.sha256(b"modswarm test identity %d" % number).digest() for number in _NUMBERS)
"""32 bytes each; every public key solves the 16-bit puzzle."""


def give_identities(homes: Iterable[Path], first: int = 0) -> None:
    """Make these homes, with identities from number `first` on."""
    for number, folder in enumerate(homes, first):
        Home.open(folder).close()
        (folder / "identity.key").write_text(SEEDS[number].hex())
