"""What a path tells of its pair in use, and who is told."""

from typing import Protocol


class PathWatcher(Protocol):
    """Goes another way for a link where it should."""

    def doubted(self, since: float) -> None:
        """The pair in use seems to be gone since then."""

    def blocked(self) -> None:
        """By the pair in use checks pass, and data do not."""

    def slowed(self) -> bool:
        """A relay carries less than the least rate; whether another is looked for."""

    def relayed(self) -> None:
        """A relay carries the path now."""

    def alone(self) -> None:
        """A relay carries the path, and there is no other path by which it would go on."""
