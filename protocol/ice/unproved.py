"""How much may be sent to addresses that have proved nothing.

An offer names addresses, and nothing stops its author from naming those of a victim. So unless an
address has answered one of our checks within ICE_CONSENT_S

- it gets at most ICE_CHECKS_UNPROVED checks, and one more for each authenticated check from it;
- all such addresses of one description together get no more bytes than the description took to send
  to us, and besides what they send themselves: nothing is amplified, although one who knows our
  credentials can send checks in a victim's name;
- ICE_TRIGGERED_BYTES of these are kept for addresses whose own checks come, so that such a check is
  followed by ours at once;
- the addresses of one network get ICE_CHECKS_PER_NETWORK checks a minute from all agents of a node,
  besides one for each authenticated check that comes from there: who names addresses in the network
  of another so keeps no check from an address that has sent its own.
"""

from collections import OrderedDict
from math import inf
from typing import Final

from protocol import limits
from protocol.addresses import Address, is_loopback, pack_address

_PREFIX_BYTES: Final = {6: 3, 18: 6}
"""The /24 of IPv4 and the /48 of IPv6, by the bytes of a packed address with its port."""

_KEPT_PART: Final = 4
"""At most a fourth of a small budget is kept."""

_MINUTE_S: Final = 60.0
CHECK_IN_NETWORK_S: Final = _MINUTE_S / limits.ICE_CHECKS_PER_NETWORK
"""Between two checks to one network at its rate."""


def network_of(address: Address) -> bytes:
    """The /24 or /48 of an address, packed: those behind one are taken for one sender."""
    packed = pack_address(address)
    return packed[: _PREFIX_BYTES[len(packed)]]


class NetworkAllowance:
    """Bounds the checks to each network; one for all agents of a node."""

    def __init__(self) -> None:
        # When a network would be at rest again: the bound of a token bucket in one number.
        self._rests_at: OrderedDict[bytes, float] = OrderedDict()

    def take(self, address: Address, now: float) -> bool:
        """Whether one more check may go there now; counts it if so. This machine has no bound."""
        if is_loopback(address.host):
            return True
        network = network_of(address)
        rests_at = max(self._rests_at.get(network, now), now) + CHECK_IN_NETWORK_S
        if rests_at > now + _MINUTE_S:
            return False
        self._rests_at[network] = rests_at
        self._rests_at.move_to_end(network)
        if len(self._rests_at) > limits.ICE_NETWORKS:
            self._rests_at.popitem(last=False)
        return True


class UnprovedBudget:
    """What one agent may still send to addresses of one description of the peer."""

    def __init__(self, budget_bytes: int, allowance: NetworkAllowance) -> None:
        self._left_bytes = budget_bytes
        self._kept_bytes = min(limits.ICE_TRIGGERED_BYTES, budget_bytes // _KEPT_PART)
        self._allowance = allowance
        self._left_checks: dict[Address, int] = {}
        # The checks that an address has earned by its own.
        self._earned: dict[Address, int] = {}
        # Until when what was shown of an address, or of a host by others, counts.
        self._proved: dict[Address, float] = {}
        self._vouched: dict[str, float] = {}

    def may_check(self, address: Address, size: int) -> bool:
        """Whether a check of `size` bytes to an address is within its bounds, as last known."""
        if address in self._proved or address.host in self._vouched:
            return True
        left = self._left_checks.get(address, limits.ICE_CHECKS_UNPROVED)
        kept_bytes = 0 if address in self._earned else self._kept_bytes
        return left > 0 and size <= self._left_bytes - kept_bytes

    def take(self, address: Address, size: int, now: float) -> bool:
        """Whether a check of `size` bytes may go to an address now; counts it if so."""
        if self._is_proved(address, now):
            return True
        if not self.may_check(address, size):
            return False
        if self._earned.get(address):
            self._earned[address] -= 1
        elif not self._allowance.take(address, now):
            return False
        self._left_bytes -= size
        left = self._left_checks.get(address, limits.ICE_CHECKS_UNPROVED)
        self._left_checks[address] = left - 1
        return True

    def take_bytes(self, address: Address, size: int, now: float) -> bool:
        """Whether so many bytes that are no check may go to an address; counts them if so."""
        if self._is_proved(address, now):
            return True
        if size > self._left_bytes - self._kept_bytes or not self._allowance.take(address, now):
            return False
        self._left_bytes -= size
        return True

    def heard(self, address: Address, extra_bytes: int, now: float) -> None:
        """An authenticated check came from there, longer by so much than what answered it."""
        if not self._is_proved(address, now):
            self._earned[address] = self._earned.get(address, 0) + 1
            self._left_bytes += extra_bytes
            left = self._left_checks.get(address, limits.ICE_CHECKS_UNPROVED)
            self._left_checks[address] = left + 1

    def vouch(self, host: str, now: float) -> None:
        """Others have shown that an IP address is the peer's: it may get what it takes."""
        if len(self._vouched) < limits.ICE_ADDRESSES_LEARNED:
            self._vouched[host] = now + limits.ICE_CONSENT_S

    def answered(self, address: Address, now: float) -> None:
        """The address has answered a check: it is the peer's."""
        self._proved[address] = now + limits.ICE_CONSENT_S
        self._left_checks.pop(address, None)

    def _is_proved(self, address: Address, now: float) -> bool:
        """Whether the address has answered a check, or others have shown that it is the peer's."""
        if now >= self._proved.get(address, inf):
            del self._proved[address]
        if now >= self._vouched.get(address.host, inf):
            del self._vouched[address.host]
        return address in self._proved or address.host in self._vouched
