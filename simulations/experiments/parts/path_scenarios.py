"""The table of experiment `paths`: where two nodes stand, what happens, what is to be reached."""

from dataclasses import dataclass
from typing import Final

from simulations.experiments.parts import path_events as events
from simulations.experiments.parts.path_events import Event
from simulations.internet.boxes.behaviour import NatBehaviour, PortAssignment
from simulations.residents.sites import SITES, Site

_HOME: Final = SITES["port-restricted"]
_MOVING_PORTS: Final = Site((NatBehaviour(ports=PortAssignment.RANDOM),))
_NO_PUNCH: Final = SITES["symmetric"]
_V6: Final = SITES["ipv6"]
_BOTH: Final = SITES["dual-stack"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One transfer from caller to callee, with one event.

    `before` shapes the internet before the call. `stall_s` is the longest that may pass without a
    byte from the event on, but for `absent_s` right after it; None where that has no goal. `ends`
    is how the name of the path at the end begins, `stays` whether the link may leave that of the
    event no more. `goodput` is the least share of what the line could carry. With `bytes_s` the
    transfer is paced. The transfer ends `lasts_s` after the event.
    """

    event: Event
    what: str
    sites: tuple[Site, Site] = (_HOME, _HOME)
    before: Event = events.nothing
    stall_s: float | None = None
    absent_s: float = 0.0
    ends: str = ""
    stays: bool = False
    goodput: float | None = None
    bytes_s: float | None = None
    lasts_s: float = 20.0

    @property
    def v6(self) -> bool:
        """Whether the public nodes have IPv6 as well."""
        return any(site.v6 for site in self.sites)


def _moving(site: Site, caller: bool, callee: bool) -> Scenario:
    return Scenario(
        events.move(caller=caller, callee=callee),
        "to another network in mid-transfer",
        (site, site),
        stall_s=3.0,
    )


_RELAYED: Final = (_NO_PUNCH, _NO_PUNCH)

SCENARIOS: Final[dict[str, Scenario]] = {
    "relay-to-direct": Scenario(
        events.open_direct,
        "a direct path becomes possible",
        before=events.close_direct,
        stall_s=0.1,
        ends="direct",
        lasts_s=30.0,
    ),
    "relay-killed": Scenario(
        events.kill_relay, "the relay in use is gone", _RELAYED, stall_s=2.0, ends="relay"
    ),
    "both-relays-killed": Scenario(
        events.kill_relays,
        "the relay in use and any kept warm are gone",
        _RELAYED,
        stall_s=5.0,
        ends="relay",
    ),
    "router-forgets": Scenario(
        events.reboot_router, "the sender's router forgets its mappings", stall_s=3.0
    ),
    "routers-forget": Scenario(
        events.reboot_both, "both routers forget their mappings", stall_s=3.0
    ),
    "nat-remaps": Scenario(
        events.reboot_router,
        "the sender's router maps to other ports",
        (_MOVING_PORTS, _HOME),
        stall_s=3.0,
    ),
    "nats-remap": Scenario(
        events.reboot_both,
        "both routers map to other ports",
        (_MOVING_PORTS, _MOVING_PORTS),
        stall_s=3.0,
    ),
    "cable-pulled": Scenario(
        events.close_direct, "the direct path is cut, relays are not", stall_s=3.0, ends="relay"
    ),
    "mtu-1400-after-1432": Scenario(
        events.limit_direct(1400),
        "a direct path of MTU 1400 after a relay",
        before=events.close_direct,
        stall_s=0.1,
        ends="direct",
        lasts_s=30.0,
    ),
    "mtu-black-hole-new": Scenario(
        events.limit_direct(1280),
        "a direct path that swallows more than 1280 bytes after a relay",
        before=events.close_direct,
        stall_s=1.0,
        lasts_s=30.0,
    ),
    "mtu-black-hole": Scenario(
        events.limit_direct(1280),
        "the direct path in use swallows more than 1280 bytes",
        stall_s=1.0,
    ),
    "one-way-forth": Scenario(
        events.pass_forth_alone,
        "directly only what the sender sends arrives",
        before=events.close_direct,
        stall_s=0.5,
        ends="relay",
        stays=True,
        bytes_s=50_000.0,
        lasts_s=300.0,
    ),
    "one-way-back": Scenario(
        events.pass_back_alone,
        "directly only what the receiver sends arrives",
        before=events.close_direct,
        stall_s=0.5,
        ends="relay",
        stays=True,
        bytes_s=50_000.0,
        lasts_s=300.0,
    ),
    "mobile-v4-sender": _moving(_HOME, caller=True, callee=False),
    "mobile-v4-receiver": _moving(_HOME, caller=False, callee=True),
    "mobile-v4-both": _moving(_HOME, caller=True, callee=True),
    "mobile-v6-sender": _moving(_V6, caller=True, callee=False),
    "mobile-v6-receiver": _moving(_V6, caller=False, callee=True),
    "mobile-v6-both": _moving(_V6, caller=True, callee=True),
    "sleep-wake": Scenario(
        events.sleep,
        f"the receiver sleeps for {events.SLEEP_S:g} s",
        stall_s=3.0,
        absent_s=events.SLEEP_S,
    ),
    "two-equal-paths": Scenario(
        events.nothing,
        "IPv4 and IPv6 are alike",
        (_BOTH, _BOTH),
        stall_s=0.1,
        ends="direct",
        stays=True,
        goodput=0.95,
    ),
    "lying-relay": Scenario(
        events.slow_relay,
        "the relay in use carries a fiftieth of what it allows",
        _RELAYED,
        stall_s=3.0,
        ends="relay",
        lasts_s=40.0,
    ),
    "checks-alone": Scenario(
        events.pass_checks_alone,
        "the direct path passes checks and drops data",
        stall_s=3.0,
        ends="relay",
    ),
}
"""By the name that a person uses."""
