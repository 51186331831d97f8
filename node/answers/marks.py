"""How the fields of answers are written as JSON, where their type alone does not tell."""

from dataclasses import dataclass
from typing import Annotated

from protocol.identity import PeerId


@dataclass(frozen=True, slots=True)
class Decimals:
    """JSON has the number rounded to so many digits behind the point."""

    digits: int


@dataclass(frozen=True, slots=True)
class AsBase32:
    """JSON has the bytes in base32."""


@dataclass(frozen=True, slots=True)
class AsHex:
    """JSON has the bytes in hex digits."""


@dataclass(frozen=True, slots=True)
class AsPeerId:
    """JSON has the bytes in the text form of peer ids."""


ShownPeerId = Annotated[PeerId, AsPeerId()]
ModId = Annotated[bytes, AsBase32()]
"""32 bytes: the SHA-256 of the mod's manifest."""
LineageKey = Annotated[bytes, AsBase32()]
"""32 bytes: the public key of a mod through all its versions."""
Seconds = Annotated[float, Decimals(3)]
Milliseconds = Annotated[float, Decimals(1)]
