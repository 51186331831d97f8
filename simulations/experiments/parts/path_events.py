"""What happens to the path of a link in mid-transfer: the events of experiment `paths`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from node.links.link import Link
from simulations.internet.boxes.behaviour import Dependence, NatBehaviour
from simulations.internet.boxes.nat import Nat
from simulations.internet.host import Host
from simulations.internet.lines import HEADERS_BYTES, Access
from simulations.residents.whole import WholeResident
from simulations.residents.world import World

SLEEP_S: Final = 15.0
LIE_BYTES_S: Final = 20_000.0
"""What a relay carries that allows fifty times as much."""
_CHECK_FIRST_BYTE_MAX: Final = 3
"""STUN's, by RFC 7983."""


@dataclass(slots=True)
class Stage:
    """A world with two linked nodes, on which events happen."""

    world: World
    publics: list[WholeResident]
    caller: WholeResident
    callee: WholeResident
    ends: list[Link] = field(default_factory=list)
    left: dict[Host, Nat] = field(default_factory=dict)
    """The network that a machine came from, to which it goes back when it moves again."""

    @property
    def people(self) -> tuple[WholeResident, WholeResident]:
        """Caller and callee."""
        return self.caller, self.callee

    def relay(self) -> WholeResident | None:
        """The node that relays the link at present."""
        relay = self.ends[0].path.relay
        return next((one for one in self.publics if one.identity.peer_id == relay), None)


Event = Callable[[Stage], None]


def _sieve(stage: Stage, passes: Callable[[bytes], bool] | None, ways: int = 3) -> None:
    """On the direct way between the two: caller to callee is 1, the other direction 2."""
    carrier, (caller, callee) = stage.world.internet.carrier, stage.people
    if ways & 1:
        carrier.sieve(caller.host, callee.host, passes)
    if ways & 2:
        carrier.sieve(callee.host, caller.host, passes)


def nothing(_stage: Stage) -> None:
    """Let everything be as it is."""


def close_direct(stage: Stage) -> None:
    """Lose all that goes directly, both ways."""
    _sieve(stage, lambda _: False)


def open_direct(stage: Stage) -> None:
    """Let pass all that goes directly."""
    _sieve(stage, None)


def pass_forth_alone(stage: Stage) -> None:
    """Lose what goes directly, but for what goes from caller to callee."""
    close_direct(stage)
    _sieve(stage, None, 1)


def pass_back_alone(stage: Stage) -> None:
    """Lose what goes directly, but for what goes from callee to caller."""
    close_direct(stage)
    _sieve(stage, None, 2)


def limit_direct(mtu_bytes: int) -> Event:
    """Lose what goes directly in IP packets of more than so many bytes."""

    def limit(stage: Stage) -> None:
        _sieve(stage, lambda data: len(data) + HEADERS_BYTES <= mtu_bytes)

    return limit


def pass_checks_alone(stage: Stage) -> None:
    """Lose what goes directly but for ICE's checks."""
    _sieve(stage, lambda data: bool(data) and data[0] <= _CHECK_FIRST_BYTE_MAX)


def kill_relay(stage: Stage) -> None:
    """Cut the relay in use off the internet."""
    relay = stage.relay()
    if relay is not None:
        relay.host.unplug()


def kill_relays(stage: Stage) -> None:
    """Cut all nodes off at which the two have allocations: that in use, and any kept warm."""
    for one in stage.publics:
        if one.running.relay.allocations:
            one.host.unplug()


def slow_relay(stage: Stage) -> None:
    """Let the relay in use carry a fraction of the rate that it allows."""
    relay = stage.relay()
    if relay is not None:
        stage.world.internet.set_access(relay.host, Access(up_bytes_s=LIE_BYTES_S))


def reboot_router(stage: Stage) -> None:
    """Let the caller's router forget all mappings."""
    assert stage.caller.host.behind is not None
    stage.caller.host.behind.reboot()


def reboot_both(stage: Stage) -> None:
    """Let both routers forget all mappings."""
    for one in stage.people:
        assert one.host.behind is not None
        one.host.behind.reboot()


def move(*, caller: bool = False, callee: bool = False) -> Event:
    """Let machines go to a network of their own, as from Wi-Fi to mobile, at once; then back."""

    def moves(stage: Stage) -> None:
        for one, is_moving in zip(stage.people, (caller, callee), strict=True):
            if is_moving:
                behind = stage.left.pop(one.host, None) or _mobile(stage, one)
                assert one.host.behind is not None
                stage.left[one.host] = one.host.behind
                stage.world.internet.move(one.host, behind=behind)

    return moves


def _mobile(stage: Stage, one: WholeResident) -> Nat:
    """The router of another network, of the families of the one before."""
    has_v6 = 6 in one.families
    filtering = Dependence.ADDRESS_AND_PORT_DEPENDENT if has_v6 else None
    return stage.world.internet.add_nat(NatBehaviour(v6_filtering=filtering))


def sleep(stage: Stage) -> None:
    """Let the callee's machine sleep for SLEEP_S."""
    host = stage.callee.host
    host.sleep()
    stage.world.loop.call_later(SLEEP_S, host.wake)
