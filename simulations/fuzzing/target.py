"""What a fuzzer feeds: a reader of bytes from outside."""

from collections.abc import Callable
from dataclasses import dataclass

from protocol.errors import ModswarmError, RemoteError
from protocol.identity import Identity

OURS = Identity(bytes(range(32)))
THEIRS = Identity(bytes(range(1, 33)))
NOW_S = 1_790_000_000.0


@dataclass(frozen=True, slots=True)
class Target:
    """A reader, and honest inputs to start from. All that it may raise is `fault`."""

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    fault: type[ModswarmError] = RemoteError
