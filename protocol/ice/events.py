"""What an agent tells the link above it, drained by `IceAgent.take`."""

from dataclasses import dataclass
from typing import NamedTuple

from protocol.addresses import Address
from protocol.ice.pairs import PairReport


class IceDatagram(NamedTuple):
    """A datagram to send from the port that is bound to `base`; `ttl` None: the usual one."""

    data: bytes
    base: Address
    remote: Address
    ttl: int | None = None


@dataclass(frozen=True, slots=True)
class AddressProved:
    """An authenticated message of the peer came from this address to this base: take DTLS there.

    Told once for each address and base.
    """

    remote: Address
    base: Address


@dataclass(frozen=True, slots=True)
class PairSelected:
    """Send by this pair from now on. It may change: each event replaces the one before.

    Before the controlling side has nominated any, the controlled side is told of the first direct
    pair that works (RFC 8445, 12.1).
    """

    base: Address
    remote: Address
    relayed: bool
    nominated: bool
    round_trip_s: float | None
    took_s: float | None = None
    """From the first check to its answer: longer than the round trip where checks were repeated."""


@dataclass(frozen=True, slots=True)
class CredentialsRetired:
    """After a restart messages to this ufrag are of no use any more: a newer pair is selected, or
    a still newer restart came before there was one.
    """

    ufrag: str


@dataclass(frozen=True, slots=True)
class ConsentDelayed:
    """A consent check has no answer in the time that one takes: the path may be gone."""

    asked_at: float


@dataclass(frozen=True, slots=True)
class PathSilent:
    """A path of this base answers no more, while the selected one does: it was that before, or is
    kept beside it.
    """

    base: Address


@dataclass(frozen=True, slots=True)
class IceFailed:
    """No pair works, and there is none left to try; more candidates may still change that."""

    tried: tuple[PairReport, ...]


@dataclass(frozen=True, slots=True)
class ConsentLost:
    """The peer answers by no pair any more: nothing may be sent to it (RFC 7675, 5.1)."""


IceEvent = (
    AddressProved
    | PairSelected
    | CredentialsRetired
    | ConsentDelayed
    | PathSilent
    | IceFailed
    | ConsentLost
)


class IceOutput(NamedTuple):
    """All that an agent has to send and to tell since `take` was called last."""

    datagrams: list[IceDatagram]
    events: list[IceEvent]
