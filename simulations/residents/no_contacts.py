"""What a node's links ask of the overlay, for a node that has none and has met no contacts."""

from collections.abc import Sequence

from protocol.overlay.contacts import Contact


class NoWitnesses:
    """The witnesses of a node that has met no contacts."""

    def choose(self) -> tuple[Contact, ...]:
        """None."""
        return ()

    def knows(self, contact: Contact) -> bool:
        """Never."""
        return False

    async def leave(self, token: bytes, witnesses: Sequence[Contact]) -> None:
        """Without contacts the token is left with none."""

    async def hosts_seen(
        self, token: bytes, witnesses: Sequence[Contact], limit_s: float
    ) -> frozenset[str]:
        """Without contacts no host is seen."""
        return frozenset()


async def look_around() -> None:
    """Without contacts there is none to ask."""
