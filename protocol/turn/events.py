"""What the client of an allocation tells its user."""

import enum
from dataclasses import dataclass

from protocol.addresses import Address


class TurnState(enum.Enum):
    """The life of a client: each state leads only to later ones."""

    ALLOCATING = "allocating"
    ALLOCATED = "allocated"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Allocated:
    """The relay has made the allocation; it sees the client at `mapped`."""

    relayed: Address
    mapped: Address


@dataclass(frozen=True, slots=True)
class PeerRefused:
    """The relay forwards nothing to or from this peer; `code` is its ERROR-CODE."""

    peer: Address
    code: int


@dataclass(frozen=True, slots=True)
class CredentialsAging:
    """`renew` is to be called with fresh credentials."""


@dataclass(frozen=True, slots=True)
class AllocationLost:
    """There is no allocation, or no longer; `reason` is one sentence for people."""

    reason: str


TurnEvent = Allocated | PeerRefused | CredentialsAging | AllocationLost
