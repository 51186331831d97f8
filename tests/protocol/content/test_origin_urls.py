"""Addresses of origins: one spelling each, and none that could mean something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.content.link import ModLink, parse
from protocol.content.origins.urls import (
    file_names,
    hinted_origin,
    named_origin,
    origin_hint,
    origin_url,
    recorded_origins,
)
from protocol.errors import BadInput, BadLink

PARTS = st.from_regex(r"\A[A-Za-z0-9_~+-]{1,12}\Z")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://mods.example", "https://mods.example"),
        (" HTTPS://Mods.Example:443/ ", "https://mods.example"),
        ("http://mods.example.:80/~Ann/v1.0/", "http://mods.example/~Ann/v1.0"),
        ("https://m\u00fcller.example/a", "https://xn--mller-kva.example/a"),
        ("https://[2001:DB8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
        ("http://192.0.2.7:8080", "http://192.0.2.7:8080"),
    ],
)
def test_an_origin_has_one_spelling(written: str, meant: str) -> None:
    assert origin_url(written) == meant
    assert origin_url(meant) == meant


@pytest.mark.parametrize(
    "text",
    [
        *("", "mods.example", "ftp://a.example", "file:///etc/passwd", "https://"),
        *("https://ann:secret@a.example", "https://@a.example", "https://a.example@b.example/"),
        *("https://a.example/?q", "https://a.example/#x", "https://a.example/a%2fb"),
        *("https://a.example/../b", "https://a.example/./b", "https://a.example\\@b.example"),
        *("https://a.example/\r\nHost: b", "https://a.example/\x00", "https://a .example"),
        *("https://a.example:0/", "https://a.example:65536/", "https://a.example:1:2/"),
        *("https://-a.example", "https://a..example", "https://[::1", "https://\u2024.example"),
        f"https://a.example/{'b' * limits.ORIGIN_BYTES}",
        f"https://{chr(0xFC) * 60}.example/",
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        origin_url(text)


@pytest.mark.parametrize("port", [0, 22, 25, 587, 3659, 6000, 6667, 10080])
def test_no_port_of_another_service_is_an_origin_s(port: int) -> None:
    with pytest.raises(BadInput, match=f"port {port}, which is kept for another service"):
        origin_url(f"https://a.example:{port}/files")
    link = f"{ModLink(bytes(32))}?o=http%3A%2F%2Fa.example%3A{port}"
    with pytest.raises(BadLink, match=f"port {port}"):
        parse(link)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        *(("http://127.0.0.1:8080", "this machine"), ("http://[::1]/a", "this machine")),
        *(("http://localhost:8080/", "this machine"), ("http://a.LOCALHOST", "this machine")),
        *(("http://192.168.1.7/a", "a private network"), ("http://nas.local", "a link alone")),
        ("http://[::ffff:10.0.0.1]", "a private network"),
    ],
)
def test_no_link_is_to_name_what_its_readers_do_not_connect_to(text: str, what: str) -> None:
    """It may be in settings, and readers of a link that names it know what to do."""
    assert origin_url(text)
    with pytest.raises(BadInput, match=f"is an address of {what}, .* config.toml"):
        named_origin(text)


@pytest.mark.parametrize("text", ["https://8.8.8.8:8443/a", "http://[2606:4700::1]", "http://a.b"])
def test_a_link_may_name_what_is_on_the_internet(text: str) -> None:
    assert named_origin(text) == text


def test_what_a_publisher_recorded_is_read_as_far_as_it_is_origins() -> None:
    texts = ("https://A.example/", "ftp://b.example", "http://c.example:25", "https://a.example")
    assert recorded_origins(texts) == ("https://a.example",)


@given(st.text(max_size=250))
def test_any_text_is_an_origin_or_a_bad_input(text: str) -> None:
    for candidate in (
        text,
        f"https://{text}",
        f"http://a.example/{text}",
        "https://\u00b2",
        "http://2.",
    ):
        try:
            found = origin_url(candidate)
        except BadInput:
            continue
        assert origin_url(found) == found
        assert found.isascii()
        assert len(found) <= limits.ORIGIN_BYTES


@given(PARTS, st.lists(PARTS, max_size=3))
def test_a_hint_gives_its_origin_back_escaped_or_not(name: str, path: list[str]) -> None:
    host = f"x{name.translate({126: None, 43: None})}1.example"
    url = origin_url("/".join([f"https://{host}", *path]))
    assert hinted_origin(origin_hint(url)) == hinted_origin(url) == url
    assert "://" not in origin_hint(url)


def test_a_link_names_few_origins_each_once() -> None:
    link = ModLink(bytes(32), None, ("127.0.0.1:1",), ("https://a.example/b", "http://c.example"))
    text = str(link)
    assert text.endswith("?x=127.0.0.1:1&o=https%3A%2F%2Fa.example%2Fb&o=http%3A%2F%2Fc.example")
    assert parse(text) == link
    assert parse(f"{text}&o=http%3A%2F%2Fc.example") == link
    many = tuple(f"https://{number}.example" for number in range(limits.ORIGINS_NAMED + 1))
    with pytest.raises(BadLink, match="origins"):
        ModLink(bytes(32), origins=many)
    with pytest.raises(BadLink, match="no origin"):
        ModLink(bytes(32), origins=("https://A.example",))
    with pytest.raises(BadLink, match="user"):
        parse(f"{ModLink(bytes(32))}?o=https%3A%2F%2Fa%40b.example")


def test_the_longest_origins_of_a_link_fit_into_it() -> None:
    longest = tuple(
        f"https://{number}.example/{'a/' * 200}"[: limits.ORIGIN_BYTES].rstrip("/")
        for number in range(limits.ORIGINS_NAMED)
    )
    link = ModLink(bytes(32), bytes(32), (), longest)
    assert parse(str(link)) == link


def test_the_two_files_are_called_by_the_mod_id() -> None:
    assert file_names(bytes(32)) == (f"{'a' * 52}.manifest", f"{'a' * 52}.chunks")
