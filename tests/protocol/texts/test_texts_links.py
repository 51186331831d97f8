"""Links in pasted texts: any mix of wrappings gives back the link, and nothing is guessed."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.content.link import SCHEME, LineageLink, ModLink
from protocol.errors import BadLink
from protocol.identity import peer_id_text
from protocol.texts.links import (
    any_link_in,
    followed_link_in,
    holds_link,
    lineage_link_in,
    link_in,
)
from protocol.texts.wrappings import bare, joined, plain
from tests.protocol.texts.pasted import OF_LINKS, WHOLE, in_order

PEER = peer_id_text(bytes(range(20)))
HINTS = ("192.0.2.7:4001", f"[2001:db8::7]:4001/{PEER}", PEER, f"a-b.example:1/{PEER}")
ORIGINS = (
    "https://mods.example",
    "http://xn--mller-kva.example:8080/~1/2.0_3+4-5",
    "https://[2001:db8::7]/7",
)
KEYS = st.binary(min_size=32, max_size=32)
LINKS = st.builds(
    ModLink,
    mod_id=KEYS,
    content_key=KEYS,
    hints=st.lists(st.sampled_from(HINTS), max_size=3).map(tuple),
    origins=st.lists(st.sampled_from(ORIGINS), max_size=2, unique=True).map(tuple),
)
WRAPPINGS = WHOLE | OF_LINKS
NAMES = st.sampled_from(sorted(WRAPPINGS))
ONE = ModLink(bytes(range(32)), bytes(range(32, 64)))
OTHER = ModLink(bytes(32), bytes(32))
TEXT = str(ONE)


@pytest.mark.parametrize("name", WRAPPINGS)
@settings(max_examples=10)
@given(link=LINKS)
def test_each_wrapping_leaves_the_link(name: str, link: ModLink) -> None:
    assert link_in(WRAPPINGS[name](str(link))) == link


@pytest.mark.parametrize("name", WRAPPINGS)
@settings(max_examples=10)
@given(link=LINKS)
def test_each_wrapping_leaves_a_link_without_its_key(name: str, link: ModLink) -> None:
    bare_link = ModLink(link.mod_id)
    assert link_in(WRAPPINGS[name](str(bare_link))) == bare_link


@pytest.mark.parametrize("hyphen", ["-", "\u2010"])
@given(mod_id=KEYS, key=KEYS, width=st.integers(20, 80))
def test_hyphens_at_line_ends_are_those_of_a_page(
    hyphen: str, mod_id: bytes, key: bytes, width: int
) -> None:
    text = str(ModLink(mod_id, key))
    lines = [text[start : start + width] for start in range(0, len(text), width)]
    assert link_in(f"{hyphen}\n".join(lines)) == ModLink(mod_id, key)


def test_a_line_that_ends_in_the_middle_of_a_hint_loses_none_of_it() -> None:
    one = ModLink(ONE.mod_id, ONE.content_key, ("192.0.2.7:4001", "192.0.2.8:4001"))
    for place in ("?x=", "&x="):
        assert link_in(str(one).replace(place, f"{place}\n")) == one


def test_hyphens_of_a_host_are_not_taken_out() -> None:
    text = str(ModLink(ONE.mod_id, ONE.content_key, ("a-b.example:4001",)))
    assert link_in(text.replace("a-", "a-\n")).hints == ("a-b.example:4001",)
    with pytest.raises(BadLink, match="its mod id"):
        link_in(f"{text[:40]}-\n{text[40:]}")


@settings(derandomize=True)
@given(LINKS, st.lists(NAMES, max_size=4, unique=True), st.booleans())
def test_any_mix_of_wrappings_leaves_the_link(
    link: ModLink, names: list[str], in_capitals: bool
) -> None:
    text = str(link).upper() if in_capitals else str(link)
    for name in in_order(names):
        text = WRAPPINGS[name](text)
    if len(text) > limits.PASTED_CHARS:
        return
    found = link_in(text)
    assert (found.mod_id, found.content_key) == (link.mod_id, link.content_key)
    assert {one.lower() for one in found.hints} == {one.lower() for one in link.hints}


@given(st.text(max_size=300), st.text(max_size=300))
def test_arbitrary_text_around_makes_no_other_link(before: str, behind: str) -> None:
    try:
        found = link_in(f"{before} {TEXT} {behind}")
    except BadLink:
        return
    assert (found.mod_id, found.content_key) == (ONE.mod_id, ONE.content_key)


@given(st.text(max_size=400) | st.binary(max_size=400).map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_link_or_a_bad_link(text: str) -> None:
    for candidate in (text, SCHEME + text, TEXT[:70] + text):
        holds_link(candidate)
        with contextlib.suppress(BadLink):
            assert isinstance(link_in(candidate), ModLink)


@pytest.mark.parametrize("name", WRAPPINGS)
def test_two_different_links_are_refused_by_name(name: str) -> None:
    with pytest.raises(BadLink, match=r"two different links stand there, modswarm:a.*give one"):
        link_in(f"{WRAPPINGS[name](TEXT)} or {OTHER}")


def test_a_second_link_that_is_damaged_is_no_part_of_the_first() -> None:
    for damaged in (str(OTHER)[:-3], str(OTHER).replace("#a", "#b")):
        with pytest.raises(BadLink, match=r"two links stand there, .* and a damaged one"):
            link_in(f"{TEXT}\n{damaged}")


def test_of_a_link_with_and_without_its_key_the_whole_one_counts() -> None:
    assert link_in(f"[{ModLink(ONE.mod_id)}]({TEXT})") == ONE


@pytest.mark.parametrize("name", sorted(WHOLE))
@pytest.mark.parametrize(
    ("damaged", "told"),
    [
        (TEXT[:-5], "the link is cut: its content key has 51 characters, not 56"),
        (TEXT[:40], "the link is cut: its mod id has 31 characters, not 56"),
        (TEXT[30:], "the link is cut: its beginning is missing, and a link starts with modswarm:"),
        (TEXT[3:], "the link is cut: its beginning is missing, and a link starts with modswarm:"),
        (TEXT[:-4] + "a" + TEXT[-3:], "the link has a typo: a character of its content key is wr"),
        (TEXT[:20] + "q" + TEXT[21:], "the link has a typo: a character of its mod id is wrong"),
        (TEXT + "a", "the link has a typo: its content key has 57 characters, not 56"),
    ],
)
def test_what_is_wrong_is_told_within_wrappings_too(name: str, damaged: str, told: str) -> None:
    with pytest.raises(BadLink) as caught:
        link_in(WHOLE[name](damaged))
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\ufeff\n", "''", "\u2066\u2069"])
def test_what_holds_nothing_is_told_as_empty(text: str) -> None:
    with pytest.raises(BadLink, match=r"it is empty|does not start with"):
        link_in(text)


def test_words_behind_a_cut_link_do_not_complete_it() -> None:
    with pytest.raises(BadLink, match="the link is cut: its content key has 53 characters"):
        link_in(f"{TEXT[:-3]} thanks a lot for the mod")


def test_a_hint_that_a_blank_may_have_cut_is_not_guessed() -> None:
    address, _, key = TEXT.partition("#")
    with pytest.raises(BadLink, match="stands in the link's hints"):
        link_in(f"{address}?x=192.0.2.7:4001 and then\n#{key}")
    assert link_in(f"{address}?x=192.0.2.7:40\n01#{key}").hints == ("192.0.2.7:4001",)


@pytest.mark.parametrize("cut", ["?", "?x", "?x=", "&", "&x", "&x=", "?o", "?o=", "&o="])
def test_a_line_may_end_wherever_a_hint_begins(cut: str) -> None:
    of_peers = ModLink(ONE.mod_id, ONE.content_key, HINTS[:2])
    of_origins = ModLink(ONE.mod_id, ONE.content_key, (), ORIGINS[:2])
    whole = of_origins if "o" in cut else of_peers
    text = str(whole)
    assert cut in text
    assert link_in(f"> {text.replace(cut, cut + chr(10) + '> ', 1)}") == whole


def test_the_key_is_in_no_refusal() -> None:
    key = TEXT[-56:]
    for text in (f"'{TEXT}a'", f"{TEXT} {OTHER}", f"<{TEXT[:-1]}>", f"x{TEXT[20:]}"):
        with pytest.raises(BadLink) as caught:
            link_in(text)
        assert not any(key[at : at + 6] in str(caught.value) for at in range(len(key) - 5))


def test_the_work_for_a_text_is_bounded() -> None:
    with pytest.raises(BadLink, match="it is too long: more than 8192 characters"):
        link_in("m" * (limits.PASTED_CHARS + 1))
    with pytest.raises(BadLink, match="more than 64 links"):
        link_in(SCHEME * (limits.PASTED_LINKS + 1))
    for text in ("\ufdfa" * limits.PASTED_CHARS, "%2525" * 1600, "&#38;amp;" * 900, "= \n" * 2700):
        assert len(plain(text)) <= limits.PASTED_CHARS
        assert len(joined(plain(text)).text) <= limits.PASTED_CHARS
        assert not holds_link(text)


@given(st.text(max_size=200))
def test_what_is_bare_has_nothing_around_it(text: str) -> None:
    once = bare(plain(text))
    assert len(once) <= len(plain(text))
    assert plain(plain(text)) == plain(text) or "%" in text or "&" in text or "\\" in text


LINEAGE = LineageLink(ONE.mod_id, ONE.content_key, version=3)


@pytest.mark.parametrize("name", WRAPPINGS)
@pytest.mark.parametrize("version", [None, 3])
def test_each_wrapping_leaves_the_link_of_a_lineage(name: str, version: int | None) -> None:
    for meant in (LINEAGE, LineageLink(LINEAGE.lineage_key)):
        one = replace(meant, version=version)
        assert any_link_in(WRAPPINGS[name](str(one))) == one
    with pytest.raises(BadLink, match="through all versions"):
        link_in(WRAPPINGS[name](str(LINEAGE)))


def test_a_mod_whose_id_begins_as_a_lineage_s_link_does() -> None:
    mod = ModLink(b"X" + bytes(31))
    assert str(mod).startswith(f"{SCHEME}l")
    assert any_link_in(f"{mod}\nthen") == mod
    assert any_link_in(f"{mod} then") == mod


@pytest.mark.parametrize(
    "behind", ["@", "@0", "@02", "@x", "@-1", "@1@2", "@99999999999", "@3x", "@2.5", "@1_000"]
)
@pytest.mark.parametrize("around", ["{}", "<{}>", "take\n{}\nplease"])
def test_what_stands_behind_the_at_sign_is_a_version_or_refused(behind: str, around: str) -> None:
    """Else a person who mistyped a version gets another one."""
    for one in (replace(LINEAGE, version=None), ONE):
        with pytest.raises(BadLink):
            any_link_in(around.format(f"{one}{behind}"))


@pytest.mark.parametrize("behind", ["", ".", ", ", " @ home", "\n@all", "-", "!"])
def test_what_follows_a_version_or_a_link_as_text_is_none(behind: str) -> None:
    assert any_link_in(f"take {LINEAGE}{behind}") == LINEAGE
    newest = replace(LINEAGE, version=None)
    assert any_link_in(f"take {newest}{behind}") == newest


def test_what_is_followed_is_a_mod_through_all_versions() -> None:
    newest = replace(LINEAGE, version=None)
    assert followed_link_in(f"<{newest}>") == lineage_link_in(f"<{newest}>") == newest
    assert lineage_link_in(str(LINEAGE)) == LINEAGE
    with pytest.raises(BadLink, match="@3 names one version"):
        followed_link_in(str(LINEAGE))
    for take in (lineage_link_in, followed_link_in):
        with pytest.raises(BadLink, match="link of one version"):
            take(TEXT)
