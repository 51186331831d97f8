"""Which proxy the environment names, and what its answers mean for a person."""

import base64
import traceback

import pytest

from protocol.addresses import Address
from protocol.errors import BadConfig, StreamFailed
from protocol.streams.proxies import Proxy, goes_past, proxy_in

TO = Address("198.51.100.7", 443)
PROXY = Proxy("proxy.example", 3128)


def test_a_proxy_is_read_with_its_login() -> None:
    named = proxy_in({"HTTPS_PROXY": "http://us%40er:p%3Aw@proxy.example:3128"})
    assert named == Proxy("proxy.example", 3128, "us@er:p:w")
    assert named is not None
    assert b"Proxy-Authorization: Basic dXNAZXI6cDp3\r\n" in named.request(TO)
    assert proxy_in({"https_proxy": "proxy.example:8080"}) == Proxy("proxy.example", 8080)
    assert proxy_in({"https_proxy": "http://proxy.example"}) == Proxy("proxy.example", 80)
    assert proxy_in({"HTTP_PROXY": "http://proxy.example"}) is None
    assert proxy_in({"https_proxy": " "}) is None


def test_the_request_is_connect() -> None:
    assert PROXY.request(TO) == (
        b"CONNECT 198.51.100.7:443 HTTP/1.1\r\nHost: 198.51.100.7:443\r\n\r\n"
    )
    assert PROXY.request(Address("2001:db8::1", 443)).startswith(b"CONNECT [2001:db8::1]:443 ")


@pytest.mark.parametrize(
    "text",
    [
        "socks5://p:1",
        "https://p:1",
        "http://",
        "http://p:99999",
        "http://p:0",
        "//p:1",
        "http://[::1",
        "http://a..b:1",
        f"http://{'a' * 70}:1",
        "http://p\x1b]0;:1",
        "http://p q:1",
        "http://p\udcff:1",
    ],
)
def test_what_is_no_such_proxy_is_told(text: str) -> None:
    with pytest.raises(BadConfig, match="HTTPS_PROXY"):
        proxy_in({"HTTPS_PROXY": text})


@pytest.mark.parametrize("end", ["/", "?", "#"])
@pytest.mark.parametrize("url", ["http://name:12{}34@proxy:3128", "http://4711{}34:12@proxy:3128"])
def test_no_part_of_a_password_is_taken_for_the_host(url: str, end: str) -> None:
    """It would be asked of the DNS, dialled and logged."""
    with pytest.raises(BadConfig, match="write / as %2F") as told:
        proxy_in({"HTTPS_PROXY": url.format(end)})
    assert not any(part in str(told.value) for part in ("name:", "12", "34", "4711"))


@pytest.mark.parametrize("url", ["http://u:se\u2100cret@p:1", "http://u:se[cret@p:1"])
def test_no_error_repeats_what_is_in_a_url(url: str) -> None:
    with pytest.raises(BadConfig) as told:
        proxy_in({"HTTPS_PROXY": url})
    assert "cret" not in "".join(traceback.format_exception(told.value))


def test_a_login_is_sent_as_the_bytes_that_the_environment_has() -> None:
    named = proxy_in({"HTTPS_PROXY": "http://n:\udcff%0d%0aX: y@p:1"})
    assert named is not None
    head = named.request(TO)
    assert base64.b64encode(b"n:\xff\r\nX: y") in head
    assert b"X: y" not in head, "and adds no line"


def test_no_login_is_shown() -> None:
    assert "secret" not in str(Proxy("p", 1, "name:secret"))
    assert "secret" not in repr(Proxy("p", 1, "name:secret"))
    assert str(Proxy("::1", 3128)) == "[::1]:3128"


@pytest.mark.parametrize(
    ("entries", "host", "past"),
    [
        ("*", "9.9.9.9", True),
        ("10.0.0.0/8, 9.9.9.9", "9.9.9.9", True),
        ("10.0.0.0/8", "10.2.3.4", True),
        ("10.0.0.0/8,example.org", "9.9.9.9", False),
        ("[::1]", "::1", True),
        ("2001:db8::/32", "9.9.9.9", False),
        ("", "9.9.9.9", False),
    ],
)
def test_no_proxy_names_who_is_reached_without(entries: str, host: str, past: bool) -> None:
    assert goes_past({"NO_PROXY": entries}, host) is past


@pytest.mark.parametrize(
    ("head", "login", "told"),
    [
        (b"HTTP/1.1 407 No\r\n\r\n", "", "asks for a name and a password .*http://name:password@"),
        (b"HTTP/1.1 407 No\r\n\r\n", "a:b", "refuses the name and password"),
        (b"HTTP/1.0 403 Forbidden\r\n\r\n", "", "allow CONNECT to port 443"),
        (b"SSH-2.0-x\r\n\r\n", "", "answers no HTTP"),
        (b"\r\n\r\n", "", "answers no HTTP"),
        (b"HTTP/1.1 2000 x\r\n\r\n", "", "opens no way"),
    ],
)
def test_an_answer_that_is_no_way_says_what_to_do(head: bytes, login: str, told: str) -> None:
    with pytest.raises(StreamFailed, match=told):
        Proxy("proxy.example", 3128, login).check_answer(head, TO)


def test_any_2xx_opens_the_way() -> None:
    PROXY.check_answer(b"HTTP/1.0 200\r\n\r\n", TO)
    PROXY.check_answer(b"HTTP/1.1 204 x\r\n\r\n", TO)
