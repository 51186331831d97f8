"""Tables that forget those that used least."""

from collections import Counter

import pytest

from protocol.places import forgetting
from protocol.places.forgetting import forget_least

MOST = 100


def test_those_that_used_most_are_kept() -> None:
    used = {user: float(user) for user in range(MOST)}
    forget_least(used, MOST)
    assert len(used) == MOST
    used[MOST] = 0.0
    forget_least(used, MOST)
    assert used == {user: float(user) for user in range(MOST // 2, MOST)}


def test_newcomers_in_a_row_cost_few_looks_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: Counter[str] = Counter()

    def counting(user: tuple[int, int]) -> int:
        looks["all"] += 1
        return user[1]

    monkeypatch.setattr(forgetting, "_used", counting)
    used = dict.fromkeys(range(MOST), 2)
    for newcomer in range(MOST, 50 * MOST):
        used[newcomer] = 1
        forget_least(used, MOST)
        assert len(used) <= MOST
    assert looks["all"] <= 3 * 50 * MOST
