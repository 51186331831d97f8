"""How tests tell `./scripts/bench attack --hostile` what the attack does to honest people.

`alone_s` is what they take without it, and is told before it begins; `attacked_s` is what they take
with it, the longest if it is told often; `attackers` are the identities that attack.
"""

from collections.abc import Callable

RecordProperty = Callable[[str, object], None]
"""Pytest's fixture `record_property`."""
