"""Links: one canonical text, read back from what people paste, refused with a plain reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.content.link import ModLink, parse
from protocol.errors import BadLink

HINTS = st.lists(st.from_regex(r"\A[A-Za-z0-9.:\[\]/-]{1,40}\Z"), max_size=limits.HINTS).map(tuple)
LINKS = st.builds(
    ModLink,
    mod_id=st.binary(min_size=32, max_size=32),
    content_key=st.none() | st.binary(min_size=32, max_size=32),
    hints=HINTS,
)
TEXT = str(ModLink(bytes(range(32)), bytes(range(32, 64)), ("127.0.0.1:4001",)))


@given(LINKS)
def test_round_trip(link: ModLink) -> None:
    assert parse(str(link)) == link


@given(LINKS)
def test_case_and_blanks_do_not_matter(link: ModLink) -> None:
    bare = ModLink(link.mod_id, link.content_key)
    assert parse(f"  {str(bare).upper()}\n") == bare


@given(st.text(max_size=200))
def test_any_text_is_a_link_or_a_bad_link(text: str) -> None:
    for candidate in (text, "modswarm:" + text, TEXT + text):
        refusal = ""
        try:
            link = parse(candidate)
        except BadLink as error:
            refusal = str(error)
        else:
            assert parse(str(link)) == link
        assert not refusal or refusal.startswith("not a modswarm link: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "modswarm",
        "modswarm:",
        "https://example.org/",
        TEXT[:-1],
        TEXT + "a",
        TEXT.replace("#", "#a", 1),
        TEXT.replace("a", "1", 1),
        TEXT.replace("?x=", "?y="),
        TEXT.replace("?x=127.0.0.1:4001", "?"),
        TEXT.replace("?x=127.0.0.1:4001", "?x="),
        TEXT.replace("?x=127.0.0.1:4001", "?x=" + "a" * (limits.HINT_BYTES + 1)),
        TEXT.replace("?x=127.0.0.1:4001", "?" + "&".join(["x=a"] * (limits.HINTS + 1))),
        TEXT.replace("?x=127.0.0.1:4001", "?x=a b"),
        TEXT.replace("modswarm:", "modswarm://"),
        TEXT + "\0",
        "modswarm:" + "a" * 5000,
    ],
)
def test_typos_are_refused(text: str) -> None:
    with pytest.raises(BadLink, match=r"^not a modswarm link: "):
        parse(text)


def test_the_last_letter_has_one_spelling() -> None:
    """52 letters hold 260 bits: another last letter must not mean the same mod."""
    text = str(ModLink(bytes(32)))
    assert text.endswith("a")
    with pytest.raises(BadLink):
        parse(text[:-1] + "b")


def test_the_key_is_not_shown() -> None:
    link = ModLink(bytes(32), b"\xfe" * 32)
    assert "xfe" not in repr(link)
    with pytest.raises(BadLink) as caught:
        parse(TEXT + "1")
    assert TEXT[-52:] not in str(caught.value)


@pytest.mark.parametrize("mod_id", [b"", bytes(31), bytes(33)])
def test_wrong_lengths_are_no_link(mod_id: bytes) -> None:
    with pytest.raises(BadLink):
        ModLink(mod_id)
    with pytest.raises(BadLink):
        ModLink(bytes(32), mod_id)
