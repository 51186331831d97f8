"""Prefixes that look real, since a node treats documentation prefixes as no public address.

Nothing leaves the namespaces, whose only interfaces are each other's.
"""

from dataclasses import dataclass

_FIRST = (5, 31, 37, 46, 62, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94)
_SECOND = 10
_RIPE_V6 = 0x2A00
_V6_BLOCKS = 32


@dataclass(frozen=True, slots=True)
class Prefixes:
    """What one site has of the internet: a /24 of IPv4 and a /48 of IPv6, in no /16 of another."""

    number: int

    @property
    def _v4(self) -> str:
        turn, index = divmod(self.number, len(_FIRST))
        return f"{_FIRST[index]}.{_SECOND + turn}.1"

    @property
    def _v6(self) -> str:
        turn, index = divmod(self.number, _V6_BLOCKS)
        return f"{_RIPE_V6 + index:x}:{_SECOND + turn}"

    @property
    def core_v4(self) -> str:
        """The address of the site's way out."""
        return f"{self._v4}.1"

    @property
    def site_v4(self) -> str:
        """The site's only public address."""
        return f"{self._v4}.2"

    @property
    def core_v6(self) -> str:
        """The IPv6 address of the site's way out."""
        return f"{self._v6}::1"

    @property
    def site_v6(self) -> str:
        """The IPv6 address of the site's router, or of its only host."""
        return f"{self._v6}::2"

    @property
    def v4_net(self) -> str:
        """All IPv4 addresses of the site and its way out."""
        return f"{self._v4}.0/24"

    @property
    def v6_net(self) -> str:
        """The same for IPv6."""
        return f"{self._v6}::/48"

    @property
    def inner_v6_net(self) -> str:
        """The prefix behind the site's router."""
        return f"{self._v6}:0:1::/64"

    def inner_v6(self, last: int) -> str:
        """An address behind the site's router."""
        return f"{self._v6}:0:1::{last:x}"
