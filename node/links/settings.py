"""Settings of links: choices of the person, and times that tests and simulations shorten."""

from dataclasses import dataclass

from protocol import limits
from protocol.description import Features
from protocol.errors import BadConfig

OWN_DATA_PATH = "native"
DATA_PATHS = {
    OWN_DATA_PATH: "node.links.channel.native_channel",
    "stock": "node.links.channel.stock_channel",
}
"""The modules that carry messages over DTLS, by their name in `data_path`. Each has
`describe_init(rng)`, which returns the SCTP INIT for the description, and `create_channel(dtls,
rng, own_peer=..., inits=..., round_trip_s=...)`, which returns a channel yet to be opened. The two
ends of a link may use different ones."""

FEATURES: dict[str, int] = {
    OWN_DATA_PATH: Features.ASKS_FOR_SACKS | Features.RESTARTS_BY_FRAMES,
    "stock": Features.RESTARTS_BY_FRAMES,
}
"""What each of them can do, for the description."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Times are seconds. Raises BadConfig for a data path that is none."""

    data_path: str = OWN_DATA_PATH

    relayed_only: bool = False
    """Peers are told no address of this node, and no check leaves from one: only relays' are used.
    Where there is no relay there is no link."""

    max_links: int = limits.LINKS
    """Links, and attempts to make one, at the same time."""

    call_timeout_s: float = 30.0
    """From the offer to the answer: looking up the peer and carrying the signals."""

    connect_timeout_s: float = 15.0
    """From the answer to the link: ICE, DTLS, SCTP and the session together."""

    idle_timeout_s: float = 300.0
    """A link without frames for this long is closed."""

    tenure_s: float = limits.LINK_TENURE_S
    """A younger link is not closed to make room for another."""

    busy_patience_s: float = 45.0
    """How long a peer that has no place for our call is asked again."""

    stall_timeout_s: float = 30.0
    """A link whose queue has not moved for this long is closed."""

    consent_interval_s: float = 8.0
    consent_failures: int = 2
    """So many checks in a row without an answer mean a vanished peer: 20 to 26 s with the 3.5 s
    that each waits (RFC 7675, 5.1, allows 30). Of idle links the checks are what costs."""

    backoff_first_s: float = 1.0
    backoff_max_s: float = 60.0
    """Wait before the next attempt after one failure, doubled with each, and its bound."""

    def __post_init__(self) -> None:
        if self.data_path not in DATA_PATHS:
            raise BadConfig(f"data_path is one of {', '.join(DATA_PATHS)}, not {self.data_path!r}")
