"""When consent checks leave: by chance within bounds, and together with those of other links."""

from math import ceil

from protocol.ice.core import IceCore

_JITTER = 0.4
"""Consent intervals are 0.8 to 1.2 times the setting (RFC 7675, 5.1)."""

_SLOT = 1 / 32
"""Of the setting: 0.25 s of 8 s. Consent checks leave at the end of such a slot."""


class ConsentSlots:
    """Of one generation, by the settings of its agent."""

    def __init__(self, core: IceCore) -> None:
        self._settings = core.settings
        self._rng = core.rng

    @property
    def least_interval_s(self) -> float:
        """The shortest time between two checks."""
        return (1 - _JITTER / 2) * self._settings.consent_interval_s

    def next_at(self, now: float) -> float:
        """At the end of a slot that all agents of a node share, so that one wake-up serves many."""
        interval_s, phase_s = self._settings.consent_interval_s, self._settings.consent_phase_s
        slot_s = interval_s * _SLOT
        chance = (_JITTER - _SLOT) * self._rng.random()
        earliest = now + self.least_interval_s + chance * interval_s
        return phase_s + slot_s * ceil((earliest - phase_s) / slot_s)
