"""Links: one canonical text, read back from what people paste, refused with a plain reason."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.content.link import SCHEME, AnyLink, LineageLink, ModLink, is_piece, parse
from protocol.errors import BadLink
from protocol.identity import Identity, base32_text, peer_id_text
from tests.identities import SEEDS

HINTS = st.lists(st.from_regex(r"\A[A-Za-z0-9.:\[\]/-]{1,40}\Z"), max_size=limits.HINTS).map(tuple)
LINKS = st.builds(
    ModLink,
    mod_id=st.binary(min_size=32, max_size=32),
    content_key=st.none() | st.binary(min_size=32, max_size=32),
    hints=HINTS,
    origins=st.lists(
        st.sampled_from(("https://a.example", "http://b.example:81/~Ann/x")), unique=True
    ).map(tuple),
)
TEXT = str(ModLink(bytes(range(32)), bytes(range(32, 64)), ("127.0.0.1:4001",)))


@given(LINKS)
def test_round_trip(link: ModLink) -> None:
    assert parse(str(link)) == link


@given(LINKS)
def test_case_and_blanks_do_not_matter(link: ModLink) -> None:
    bare = ModLink(link.mod_id, link.content_key)
    assert parse(f"  {str(bare).upper()}\n") == bare


def test_hints_name_peers_with_and_without_an_address() -> None:
    first, second = Identity(SEEDS[0]).peer_id, Identity(SEEDS[1]).peer_id
    hints = (
        f"127.0.0.1:4001/{peer_id_text(first)}",
        "127.0.0.1:4001",
        peer_id_text(second),
        peer_id_text(first),
        "[::1]:1/",
        "not-a-peer",
        peer_id_text(second)[:-1],
    )
    assert ModLink(bytes(32), hints=hints).hinted_peers == (first, second)


@given(LINKS)
def test_any_hints_name_at_most_a_peer_each(link: ModLink) -> None:
    assert len(link.hinted_peers) <= len(link.hints)


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
        assert not refusal or refusal.startswith(
            ("not a modswarm link: ", "the link has a typo: ", "the link is cut: ")
        )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "modswarm",
        "https://example.org/",
        TEXT.replace("?x=", "?y="),
        TEXT.replace("?x=127.0.0.1:4001", "?"),
        TEXT.replace("?x=127.0.0.1:4001", "?x="),
        TEXT.replace("?x=127.0.0.1:4001", "?x=" + "a" * (limits.HINT_BYTES + 1)),
        TEXT.replace("?x=127.0.0.1:4001", "?" + "&".join(["x=a"] * (limits.HINTS + 1))),
        TEXT.replace("?x=127.0.0.1:4001", "?x=a b"),
        TEXT[:50] + "\n" + TEXT[50:],
        f'"{TEXT}"',
        peer_id_text(bytes(20)),
        "modswarm:" + "a" * 5000,
    ],
)
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(BadLink, match=r"^not a modswarm link: "):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        TEXT + "a",
        TEXT.replace(":aaaq", ":aaq", 1),
        TEXT.replace("#", "#a", 1),
        TEXT.replace(":aaa", ":aa1", 1),
        TEXT.replace("modswarm:", "modswarm://"),
        TEXT + "\0",
        TEXT.replace(":aaa", ":aa\u0131"),
    ],
)
def test_a_part_that_is_no_56_characters_of_base32_is_a_typo(text: str) -> None:
    with pytest.raises(BadLink, match=r"^the link has a typo"):
        parse(text)


@pytest.mark.parametrize(
    "text", [TEXT, str(ModLink(bytes(32), bytes(32))), str(ModLink(bytes(32)))]
)
def test_a_link_that_has_lost_its_end_is_cut_or_has_no_key(text: str) -> None:
    for end in range(len(SCHEME), len(text)):
        link = parsed_unless_cut(text[:end])
        if link is not None:
            assert link == ModLink(parse(text).parts[0], hints=link.hints)


def parsed_unless_cut(text: str) -> AnyLink | None:
    """The link; None if it is refused as cut, as which it must be if it is refused."""
    try:
        return parse(text)
    except BadLink as error:
        refusal = str(error)
    assert refusal.startswith("the link is cut: "), text
    return None


@pytest.mark.parametrize(
    "text", [TEXT, str(ModLink(bytes(32), bytes(32))), str(ModLink(bytes(32)))]
)
def test_a_link_that_has_lost_its_beginning_is_cut(text: str) -> None:
    for start in range(1, len(text) - 19):
        for piece in (text[start:], f" {text[start:].upper()}\n"):
            assert is_piece(piece)
            with pytest.raises(BadLink, match=r"^the link is cut: its beginning is missing"):
                parse(piece)


def test_a_link_that_has_lost_both_its_ends_is_cut() -> None:
    bare = str(ModLink(bytes(32), bytes(32)))
    for start in range(1, 40):
        for end in range(start + 32, len(bare)):
            with pytest.raises(BadLink, match=r"^the link is cut: its beginning is missing"):
                parse(bare[start:end])


@pytest.mark.parametrize(
    "text", ["", "hats", "my-mod", "https://example.org/#top", "00" * 20, peer_id_text(bytes(20))]
)
def test_other_things_that_people_give_are_no_pieces_of_links(text: str) -> None:
    assert not is_piece(text)


def places(text: str) -> list[int]:
    """Where the characters of the base32 parts stand."""
    id_end, key_start = text.index("?"), text.index("#") + 1
    return [*range(len(SCHEME), id_end), *range(key_start, len(text))]


def test_every_wrong_character_is_told() -> None:
    for place in places(TEXT):
        for other in "abcdefghijklmnopqrstuvwxyz234567":
            if other == TEXT[place]:
                continue
            with pytest.raises(BadLink, match=r"^the link has a typo"):
                parse(TEXT[:place] + other + TEXT[place + 1 :])


def test_every_exchange_of_neighbours_is_told() -> None:
    for place in places(TEXT)[:-1]:
        first, second = TEXT[place], TEXT[place + 1]
        if first == second or not (first + second).isalnum():
            continue
        with pytest.raises(BadLink, match=r"^the link has a typo"):
            parse(TEXT[:place] + second + first + TEXT[place + 2 :])


def test_halves_of_two_links_are_no_link() -> None:
    """A person copies links in two parts where a chat or a terminal breaks the line."""
    one, other = str(ModLink(bytes(32), bytes(32))), str(ModLink(b"\1" * 32, b"\1" * 32))
    for text in (one.partition("#")[0] + "#" + other.partition("#")[2], swapped(one)):
        with pytest.raises(BadLink, match=r"^the link has a typo: .* content key|mod id"):
            parse(text)


def swapped(text: str) -> str:
    address, _, key = text.removeprefix(SCHEME).partition("#")
    return f"{SCHEME}{key}#{address}"


def test_the_form_without_checksums_is_cut() -> None:
    with pytest.raises(BadLink, match=r"^the link is cut: its mod id has 52 characters, not 56"):
        parse(SCHEME + base32_text(bytes(32)))


def test_the_key_is_not_shown() -> None:
    link = ModLink(bytes(32), b"\xfe" * 32)
    assert "xfe" not in repr(link)
    with pytest.raises(BadLink) as caught:
        parse(TEXT + "1")
    key = TEXT[-56:]
    assert not any(key[at : at + 3] in str(caught.value) for at in range(len(key) - 2))


@pytest.mark.parametrize("mod_id", [b"", bytes(31), bytes(33)])
def test_wrong_lengths_are_no_link(mod_id: bytes) -> None:
    with pytest.raises(BadLink):
        ModLink(mod_id)
    with pytest.raises(BadLink):
        ModLink(bytes(32), mod_id)


LINEAGE = LineageLink(bytes(range(32)), bytes(range(32, 64)), ("relay.example:4001",))


@pytest.mark.parametrize("version", [None, 1, 12, 2**31])
def test_a_lineage_has_a_link_and_so_has_each_version(version: int | None) -> None:
    for link in (LINEAGE, LineageLink(LINEAGE.lineage_key)):
        link = replace(link, version=version)
        assert (
            parse(str(link))
            == parse(str(link).upper().replace("RELAY.EXAMPLE", "relay.example"))
            == link
        )
    assert str(LINEAGE).startswith(f"{SCHEME}l")
    assert len(str(LineageLink(LINEAGE.lineage_key))) == len(SCHEME) + 57


def test_links_of_lineages_and_of_mods_are_told_apart() -> None:
    mod = ModLink(LINEAGE.lineage_key, LINEAGE.reading_key)
    with pytest.raises(BadLink, match="typo"):
        parse(str(mod).replace(SCHEME, f"{SCHEME}l"))
    with pytest.raises(BadLink, match="typo"):
        parse(str(LINEAGE).replace(f"{SCHEME}l", SCHEME))
    with pytest.raises(BadLink, match="link of one version already"):
        parse(f"{mod}@3")
    for wrong in ("@0", "@x", "@", "@99999999999"):
        with pytest.raises(BadLink):
            parse(f"{LINEAGE}{wrong}")


def test_each_typo_in_a_lineage_s_link_is_found() -> None:
    text = str(replace(LINEAGE, hints=()))
    for place in range(len(SCHEME) + 1, len(text)):
        other = "a" if text[place] != "a" else "b"
        with pytest.raises(BadLink):
            parse(text[:place] + other + text[place + 1 :])
