"""What all parts of an agent share: its role, its settings, its chance and its output."""

from collections.abc import Callable
from typing import Final

from protocol import limits
from protocol.addresses import Address
from protocol.ice.events import IceDatagram, IceEvent, IceOutput
from protocol.ice.paths.penalties import PathPenalties
from protocol.ice.settings import IceSettings
from protocol.ice.unproved import NetworkAllowance
from protocol.randomness import Random

_TIE_BREAKER_BITS: Final = 64
_RANDOM_BYTES: Final = 8


class IceCore:
    """See the module. The first bytes of each transaction id are `transaction_prefix`.

    `goes_by_stream`: whether what leaves from a base goes by a stream now.
    """

    def __init__(
        self,
        *,
        controlling: bool,
        transaction_prefix: bytes,
        rng: Random,
        settings: IceSettings,
        allowance: NetworkAllowance,
        goes_by_stream: Callable[[Address], bool],
    ) -> None:
        self.controlling = controlling
        self.settings = settings
        self.rng = rng
        self.allowance = allowance
        self.goes_by_stream = goes_by_stream
        self.penalties = PathPenalties()
        self.base_in_use: Address | None = None
        """Of the pair that was selected when the last restart began."""
        self._prefix = transaction_prefix
        self._role_switches = 0
        self.tie_breaker = rng.getrandbits(_TIE_BREAKER_BITS)
        self._output = IceOutput([], [])

    @property
    def may_switch_role(self) -> bool:
        """Whether a conflict is settled by us once more."""
        return self._role_switches < limits.ICE_ROLE_SWITCHES

    def switch_role(self) -> None:
        """Take the other role, after a conflict."""
        self.controlling = not self.controlling
        self._role_switches += 1

    def begin_generation(self, base_in_use: Address | None) -> None:
        """A restart may settle the roles anew (RFC 8445, 7.3.1.1)."""
        self._role_switches = 0
        self.base_in_use = base_in_use

    def renew_tie_breaker(self) -> None:
        """Draw a new one, after an error response made us switch (RFC 8445, 7.2.5.1)."""
        self.tie_breaker = self.rng.getrandbits(_TIE_BREAKER_BITS)

    def new_transaction(self) -> bytes:
        """A transaction id whose response finds its way back to this agent."""
        return self._prefix + self.rng.randbytes(_RANDOM_BYTES)

    def send(self, data: bytes, base: Address, remote: Address, ttl: int | None = None) -> None:
        """Send a datagram."""
        self._output.datagrams.append(IceDatagram(data, base, remote, ttl))

    def tell(self, event: IceEvent) -> None:
        """Tell the link above."""
        self._output.events.append(event)

    def take(self) -> IceOutput:
        """Return what has gathered since the last call."""
        output, self._output = self._output, IceOutput([], [])
        return output
