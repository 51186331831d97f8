"""Each form of a request is asked as the node reads it today: the asker's link and tokens last."""

import pytest

from scripts.benchmarks.attack import figures
from scripts.benchmarks.attack.figures import requests_of_peers

FORMS = 60
ANSWERED = 30


def test_each_form_is_asked_and_most_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "CHUNKS", 2000)
    rows = requests_of_peers(times=3)
    assert len(rows) > FORMS
    assert sum(row["bytes_in"] > 0 for row in rows.values()) > FORMS
    assert sum(row["bytes_out"] > 0 for row in rows.values()) > ANSWERED
