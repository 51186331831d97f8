"""One seed, many independent sources of randomness: each purpose draws from its own.

Were all draws made from one source, one more draw anywhere (a host added, loss switched on) would
change every later draw everywhere, and two runs could not be compared.
"""

import hashlib
import random


def derive_seed(seed: int | str, *purpose: object) -> int:
    """A 64-bit seed for `purpose`, the same in every process (`hash()` of text is not)."""
    text = "\0".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def derive_rng(seed: int | str, *purpose: object) -> random.Random:
    """A random source of its own for `purpose`; about 2.5 kB, so one a purpose, not one a host."""
    return random.Random(derive_seed(seed, *purpose))
