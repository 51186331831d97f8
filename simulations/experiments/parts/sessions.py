"""The sessions of people that come and go: as IPFS's peers do, or away only shortly."""

import random
from collections.abc import Iterator
from math import inf

from simulations.residents.churn import ChurnModel

Session = tuple[float, float]
"""From when to when, in seconds since the beginning."""


class Sessions:
    """When a person is there. Drawn as far as is asked, and always the same by the same `rng`.

    The first is met in its middle. After each the person is away for `away_s`, where all copies are
    waited for; or, without that, for as long as the model says, and perhaps at the beginning. All
    of it is over `times` as fast as the model says.
    """

    def __init__(
        self, model: ChurnModel | None, rng: random.Random, *, times: float, away_s: float | None
    ) -> None:
        self._model = model
        self._rng = rng
        self._times = times
        self._away_s = away_s
        self._drawn: list[Session] = []

    def __iter__(self) -> Iterator[Session]:
        place = 0
        while True:
            if place == len(self._drawn):
                self._drawn.append(self._next())
            yield self._drawn[place]
            if self._drawn[place][1] == inf:
                return
            place += 1

    def until(self, when: float) -> list[Session]:
        """Those that begin until then; one that lasts longer has no end, as if it went on."""
        found: list[Session] = []
        for session in self:
            if session[0] > when:
                break
            found.append(session)
        if not found:
            return []
        since, end = found[-1]
        return [*found[:-1], (since, end if end <= when else inf)]

    def _next(self) -> Session:
        if self._model is None:
            return 0.0, inf
        up = self._model.up
        if self._drawn:
            since = self._drawn[-1][1] + self._absence_s(self._model)
            return since, since + up.draw_s(self._rng) / self._times
        if self._away_s is None and self._rng.random() >= self._model.availability:
            since = self._model.down.remaining_s(self._rng) / self._times
            return since, since + up.draw_s(self._rng) / self._times
        return 0.0, up.remaining_s(self._rng) / self._times

    def _absence_s(self, model: ChurnModel) -> float:
        if self._away_s is None:
            return model.down.draw_s(self._rng) / self._times
        return self._away_s
