"""How fast content may go, and how fast it goes."""

from dataclasses import dataclass
from enum import StrEnum


class LimitFrom(StrEnum):
    """What a limit was set by."""

    CONFIG = "config"
    SCHEDULE = "schedule"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class LimitView:
    """The limits of one direction now, in bytes a second; null: none."""

    all_peers: int | None
    """Of all peers together."""
    each_peer: int | None
    set_by: LimitFrom
    """What set the limit of all peers: `config.toml` or an option of `run`, its schedule, or a
    command, which holds until the node ends."""
    each_set_by: LimitFrom
    """What set that of each peer, which no schedule does."""
    schedule: str
    """The rates by the hour, as the configuration has them; empty if it has none."""


@dataclass(frozen=True, slots=True)
class LimitsView:
    """The limits of content, which the DHT and relaying for others have no part in."""

    up: LimitView
    down: LimitView
