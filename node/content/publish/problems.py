"""What stands in the way of sharing a folder, gathered so that a person is told all at once."""

from protocol import limits
from protocol.errors import BadFolder, FolderProblems, ModswarmError, UnsafePath


class Problems:
    """Sentences, each about one path; the first are kept and all are counted."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._count = 0
        self._kind: type[ModswarmError] = BadFolder

    def add(self, sentence: str, kind: type[ModswarmError] = UnsafePath) -> None:
        """One more; `kind` is the error if it stays the only one."""
        if self._count and sentence == self._first[-1]:
            return
        self._count += 1
        if len(self._first) < limits.FOLDER_PROBLEMS_TOLD:
            self._first.append(sentence)
            self._kind = kind

    def check(self, root: str) -> None:
        """Raise the one that there is, or FolderProblems with all of them."""
        if self._count == 1:
            raise self._kind(self._first[0])
        if self._count:
            raise FolderProblems(
                f"{root} cannot be shared as it is: {self._count} things stand in the way",
                self._first,
                self._count - len(self._first),
            )
