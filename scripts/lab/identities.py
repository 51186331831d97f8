"""Identities for the lab only: their seeds are public, so one that is used elsewhere has no secret.

A real identity costs two seconds of work, because its key must solve the puzzle. These numbers were
found once; each gives a seed that does.
"""

import hashlib
from pathlib import Path

from node.home import Home

NUMBERS = (
    123326,
    194796,
    344865,
    385854,
    421212,
    441143,
    508946,
    547480,
    580110,
    871323,
    888012,
    955544,
    1047100,
    1109688,
    1109927,
    1119874,
    1153137,
    1176899,
    1516676,
    1540873,
    1572994,
    1846532,
    1869532,
    1879272,
    1924590,
    1945409,
    1975047,
    2036848,
    2128628,
    2129404,
    2152149,
    2173160,
    2218676,
    2234175,
    2238823,
    2339560,
    2404095,
    2671858,
    2712259,
    2715661,
    2796173,
    2804882,
    2876323,
    2947057,
    3107938,
    3244224,
    3265109,
    3299764,
    3330737,
    3401013,
    3407018,
    3449069,
    3480551,
    3581525,
    3600947,
    3688531,
    3715270,
    3809368,
    3818348,
    3918698,
    4213088,
    4253472,
    4385177,
    4428373,
    4479353,
    4530487,
    4697507,
    4728803,
    4742463,
    4804139,
    4884919,
    4906911,
)


def give_identity(home: Path, number: int) -> None:
    """Make this home, with an identity that is the same in each run."""
    Home.open(home).close()
    (home / "identity.key").write_text(seed_of(number).hex())


def seed_of(number: int) -> bytes:
    """The seed of identity number so much, 32 bytes."""
    return hashlib.sha256(b"modswarm lab identity %d" % NUMBERS[number]).digest()
