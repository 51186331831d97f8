"""What a person said about the origins of mods: `origins.json` in the home.

An origin learns the address of this node. Others name it, and could name one victim to many. So a
person is asked once for each mod and each of its origins. A file that is damaged asks again.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from node.files import write_atomically
from protocol import limits
from protocol.identity import base32_text

_log = logging.getLogger(__name__)

_FORMAT = 1
_MAX_BYTES = 2**23


class OriginConsent:
    """The answers of a person, for mods by their ids and for lineages by their keys."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._answers = _read(path)

    def agreed(self, subject: bytes, url: str) -> bool:
        """Whether this origin may be asked for it."""
        return self._answers.get(base32_text(subject), {}).get(url, False)

    def answer(self, subject: bytes, urls: Sequence[str]) -> bool | None:
        """What a person said about all of these; None if one is new."""
        known = self._answers.get(base32_text(subject), {})
        if any(url not in known for url in urls):
            return None
        return any(known[url] for url in urls)

    def carry(self, lineage_key: bytes, mod_id: bytes, urls: Sequence[str]) -> None:
        """Let what a person said of a lineage hold for one of its versions; raises DiskError."""
        said = self._answers.get(base32_text(lineage_key), {})
        known = self._answers.get(base32_text(mod_id), {})
        for agreed in (True, False):
            news = [url for url in urls if said.get(url) is agreed is not known.get(url)]
            if news:
                self.remember(mod_id, news, agreed=agreed)

    def remember(self, subject: bytes, urls: Sequence[str], *, agreed: bool) -> None:
        """Keep what a person says; raises DiskError, and then it holds until the node ends."""
        name = base32_text(subject)
        known = self._answers.pop(name, {}) | dict.fromkeys(urls, agreed)
        most = limits.ORIGINS_REMEMBERED
        self._answers[name] = dict(list(known.items())[-most:])
        while len(self._answers) > limits.ORIGIN_ANSWERS_REMEMBERED:
            del self._answers[next(iter(self._answers))]
        told = {"format": _FORMAT, "answers": self._answers}
        write_atomically(self._path, json.dumps(told).encode())


def _read(path: Path) -> dict[str, dict[str, bool]]:
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(_MAX_BYTES))
        if told["format"] != _FORMAT:
            raise ValueError("another format")
        return {
            str(subject): {str(url): answer is True for url, answer in answers.items()}
            for subject, answers in told["answers"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        _log.warning("%s cannot be read, so origins are asked about again: %s", path, error)
        return {}
