"""What a node concludes from what it knows of its network, before and after dial-backs."""

from dataclasses import replace

import pytest

from protocol.reachability.network_view import FamilyView, NetworkView, Verdict

UNSEEN = FamilyView()
SEEN = FamilyView(is_on_internet=True)
TESTED = replace(SEEN, was_tested=True)
MAPPED = replace(SEEN, is_mapped=True)
FORWARDED = replace(MAPPED, is_forwarded=True)
PUBLIC = replace(FORWARDED, verdict=Verdict.PUBLIC, was_tested=True)
PRIVATE = replace(TESTED, verdict=Verdict.NOT_PUBLIC)


@pytest.mark.parametrize(
    ("view", "is_closed", "needs_registrars"),
    [
        (UNSEEN, False, False),
        (SEEN, False, False),
        (TESTED, False, True),
        (replace(TESTED, is_on_internet=False), False, False),
        (replace(TESTED, may_be_firewalled=False), False, False),
        (replace(MAPPED, may_be_firewalled=False), True, True),
        (MAPPED, True, True),
        (FORWARDED, False, True),
        (PUBLIC, False, False),
        (replace(PUBLIC, is_forwarded=False), False, False),
        (PRIVATE, True, True),
        (replace(PRIVATE, is_forwarded=True, is_mapped=True), True, True),
    ],
)
def test_who_is_closed_and_who_registers(
    view: FamilyView, is_closed: bool, needs_registrars: bool
) -> None:
    assert view.is_closed is is_closed
    assert view.needs_registrars is needs_registrars


@pytest.mark.parametrize(
    ("v4", "v6", "is_contact", "needs_registrars"),
    [
        (MAPPED, UNSEEN, False, True),
        (MAPPED, PUBLIC, True, True),
        (PUBLIC, PRIVATE, True, True),
        (PUBLIC, UNSEEN, True, False),
        (SEEN, UNSEEN, True, False),
    ],
)
def test_two_families_are_weighed_together(
    v4: FamilyView, v6: FamilyView, is_contact: bool, needs_registrars: bool
) -> None:
    view = NetworkView({4: v4, 6: v6})
    assert view.is_contact is is_contact
    assert view.needs_registrars is needs_registrars
