"""What a lookup is told, and what it tells its driver, over one path or several disjoint ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from protocol import limits
from protocol.overlay.contacts import Contact


@dataclass(frozen=True, slots=True)
class LookupRules:
    """How eagerly to look. `slow_s`: when a slot is freed though its answer may still come.

    `alpha` contacts are asked side by side at first, and `alpha_last` once `beta` of the k nearest
    have answered; of these as many as `spare` may be farther than the k nearest. A search for
    records begins with `alpha_read`, as it ends at the first contact that has one.
    """

    k: int = limits.K
    alpha: int = 4
    alpha_read: int = 8
    alpha_last: int = 20
    beta: int = 2
    spare: int = 4
    slow_s: float = 0.45
    lasts_s: float = limits.LOOKUP_S
    requests_max: int = limits.LOOKUP_REQUESTS
    silent_max: int = limits.LOOKUP_SILENT

    def for_reading(self) -> "LookupRules":
        """The same for a search for records."""
        return replace(self, alpha=self.alpha_read)

    def on_line(self, extra_s: float) -> "LookupRules":
        """The same where each round trip takes so much longer."""
        if not extra_s:
            return self
        lasts_s = self.lasts_s + limits.LOOKUP_ROUND_TRIPS * extra_s
        return replace(self, slow_s=self.slow_s + extra_s, lasts_s=lasts_s)


class Step(NamedTuple):
    """All that a driver has to do now: ask some contacts, count others as failed, wait or end.

    `wake_at` is when the next time limit runs out, in the seconds of `now`: call `next` then if no
    answer has come before. It means nothing once `done`.
    """

    ask: Sequence[Contact]
    given_up: Sequence[Contact]
    wake_at: float
    done: bool


class AnyLookup(Protocol):
    """A lookup as its driver sees it.

    Call `next(now)` to begin, after every `answered` and `failed`, and at the step's `wake_at`.
    """

    @property
    def target(self) -> int:
        """The id that is looked up, as a number of 160 bits."""
        ...

    @property
    def requests(self) -> int:
        """How many contacts were asked."""
        ...

    def next(self, now: float) -> Step:
        """What is to be done at `now`, in seconds; gives up the contacts whose time is over."""
        ...

    def answered(self, contact: Contact, named: Iterable[Contact]) -> None:
        """`contact` answered and named others. Late answers count while the lookup runs."""
        ...

    def asked(self, contact: Contact, now: float) -> None:
        """What `contact` was to be asked is sent only `now`: its time limits begin anew."""
        ...

    def failed(self, contact: Contact) -> None:
        """`contact` cannot be used: it refused, broke a rule, or could not be sent to."""
        ...

    def stop(self) -> None:
        """End early, because what was looked for is found."""
        ...

    def closest(self) -> list[Contact]:
        """At most k contacts that answered, nearest first, each of another network."""
        ...

    def hops_to(self, contact: Contact) -> int:
        """How many steps away from us this peer was named: 1 for our own contacts, 0 if never."""
        ...
