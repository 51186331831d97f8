"""The keys of a lineage as a text, for another machine."""

import pytest

from protocol.content.lineage import history
from protocol.content.lineage.body import wrapped_content_key
from protocol.content.lineage.export import LineageExport, parse_export
from protocol.content.lineage.keys import LineageKeys
from protocol.errors import BadInput
from protocol.records import Record

SECRET, SEED = bytes(range(32)), bytes(range(32, 64))
KEYS = LineageKeys(SECRET, SEED)
RECORD = history.next_record(
    KEYS.identity,
    None,
    mod_id=bytes(32),
    version=3,
    wrapped_key=wrapped_content_key(bytes(32), KEYS.reading_key, bytes(32)),
    now=1.7e9,
)


@pytest.mark.parametrize("newest", [None, RECORD])
def test_what_is_exported_is_read_again_as_mail_has_it(newest: Record | None) -> None:
    given = LineageExport("hats", SECRET, SEED, newest)
    text = str(given)
    broken = "\n".join(text[at : at + 72] for at in range(0, len(text), 72)) + "\n"
    for spelled in (text, broken, text.upper()):
        assert parse_export(spelled) == given
    assert SECRET.hex() not in repr(given)
    assert repr(SEED) not in repr(given)


def test_a_text_that_is_damaged_is_told_without_repeating_it() -> None:
    text = str(LineageExport("hats", SECRET, SEED, RECORD))
    scheme = text.index(":") + 1
    for damaged in (
        *("", "modswarm:l" + "a" * 56, text[:-1], text[scheme:], text[: scheme + 80]),
        text[: scheme + 40] + ("b" if text[scheme + 40] != "b" else "c") + text[scheme + 41 :],
        text + "a" * 5000,
    ):
        with pytest.raises(BadInput) as told:
            parse_export(damaged)
        assert text[scheme + 20 : scheme + 60] not in str(told.value)


def test_a_record_of_another_mod_is_refused() -> None:
    other = LineageExport("hats", SECRET, bytes(32), RECORD)
    with pytest.raises(BadInput, match="the record of another one"):
        parse_export(str(other))
