"""Peers that stay and publish records, and the policies by which they refresh them."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from node.overlay.records.republish import Republisher
from protocol import records
from protocol.errors import BadInput
from protocol.records import Body, ProviderBody
from simulations.residents.churn import ChurningResident

_HOUR_S = 3600.0
_NAMED_POLICIES = {"product": None, "never": math.inf}


def refresh_s_of(policy: str) -> float | None:
    """Seconds between refreshes; None is as the product does, infinite never. Raises BadInput."""
    if policy in _NAMED_POLICIES:
        return _NAMED_POLICIES[policy]
    try:
        hours = float(policy.removesuffix("h"))
    except ValueError:
        hours = math.nan
    if not (policy.endswith("h") and 0 < hours < math.inf):
        raise BadInput(f"{policy!r} is no refresh policy: product, never, or hours such as 3h")
    return hours * _HOUR_S


class TimedRepublisher(Republisher):
    """The node's own republisher with another time between refreshes."""

    refresh_s = _HOUR_S

    def _refresh_s(self, kind: int) -> float:
        jitter = 0.95 + 0.1 * self._environment.rng.random()
        return self.refresh_s * jitter


@dataclass(slots=True)
class RecordOwner(ChurningResident):
    """A peer that stays, and publishes provider records."""

    mods: list[bytes] = field(default_factory=list)

    def publish(self, count: int, rng: random.Random, refresh_s: float | None) -> None:
        """Start to publish `count` records, in the background; see `refresh_s_of`."""
        self.mods = [rng.randbytes(32) for _ in range(count)]
        membership = self.running
        with self.host.running():
            republisher = membership.republisher
            if refresh_s is not None:
                republisher = TimedRepublisher(membership.server, membership.environment)
                republisher.refresh_s = refresh_s
                membership.tasks.start(republisher.run(), name="keep our provider records alive")
            for mod_id in self.mods:
                republisher.keep(("provider", mod_id), records.PROVIDER, _always(mod_id))


def _always(mod_id: bytes) -> Callable[[], Body]:
    def make_body() -> Body:
        return ProviderBody(mod_id, complete=True)

    return make_body
