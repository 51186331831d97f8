"""Peer ids and lines of bootstraps in pasted texts: one that stands there whole, or none."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.addresses import split_host_port
from protocol.errors import BadAddress, BadPeerId
from protocol.identity import peer_id_text
from protocol.overlay.bootstrap import Bootstrap
from protocol.texts.peers import peer_id_in
from tests.protocol.texts.pasted import WHOLE, in_order

ID = bytes(range(20))
PEER, OTHER = peer_id_text(ID), peer_id_text(bytes(20))
IDS = st.binary(min_size=20, max_size=20)
ADDRESSES = ("192.0.2.7:4001", "[2001:db8::7:8:9]:4001", "my-host.example:65535")
NAMES = st.sampled_from(sorted(WHOLE))


@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=10)
@given(peer_id=IDS)
def test_each_wrapping_leaves_the_peer_id(name: str, peer_id: bytes) -> None:
    text = peer_id_text(peer_id)
    assert peer_id_in(WHOLE[name](text)) == peer_id
    assert peer_id_in(WHOLE[name](text.upper())) == peer_id


@pytest.mark.parametrize(
    "text",
    [
        f"my id: {PEER} thanks",
        f"192.0.2.7:4001/{PEER}",
        f"    modswarm run --bootstrap '[2001:db8::7]:4001/{PEER}'",
        f"Peer id    {PEER}\nAddress for friends  192.0.2.7:4001/{PEER}",
        f"> {PEER[:20]}\n> {PEER[20:]}",
    ],
)
def test_a_peer_id_is_found_in_what_stands_around_it(text: str) -> None:
    assert peer_id_in(text) == ID


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"'{PEER[:-1]}'", "the peer id is cut: .* has 32 characters, not 33"),
        (f"<{PEER[1:]}>", "the peer id is cut: .* has 32 characters, not 33"),
        (f"{PEER[:20]} {PEER[20:]}", "not a peer id"),
        (f"{PEER} or {OTHER}", f"two different peer ids stand there, {PEER} and {OTHER}"),
        (f"{PEER}a", "not a peer id"),
        ("", "not a peer id"),
        ("\u200b", "not a peer id"),
        ("x" * 9000, "it is too long"),
    ],
)
def test_what_is_not_one_whole_peer_id_is_refused(text: str, told: str) -> None:
    with pytest.raises(BadPeerId, match=told):
        peer_id_in(text)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("address", ADDRESSES)
@settings(max_examples=10)
@given(peer_id=IDS)
def test_each_wrapping_leaves_the_bootstrap(name: str, address: str, peer_id: bytes) -> None:
    line = f"{address}/{peer_id_text(peer_id)}"
    assert Bootstrap.parse(WHOLE[name](line)) == Bootstrap(*split_host_port(address), peer_id)
    assert Bootstrap.parse(WHOLE[name](address)) == Bootstrap(*split_host_port(address), None)


@settings(derandomize=True)
@given(st.sampled_from(ADDRESSES), IDS, st.lists(NAMES, max_size=3, unique=True))
def test_any_mix_of_wrappings_leaves_the_bootstrap(
    address: str, peer_id: bytes, names: list[str]
) -> None:
    text = line = f"{address}/{peer_id_text(peer_id)}"
    for name in in_order(names):
        text = WHOLE[name](text)
    assert str(Bootstrap.parse(text)) == line


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "form",
    [
        "modswarm run --bootstrap {}",
        "--bootstrap='{}'",
        "udp://{}",
        "$ modswarm run --home A --bootstrap {}\n",
    ],
)
def test_a_copied_command_leaves_the_bootstrap(address: str, form: str) -> None:
    for line in (address, f"{address}/{PEER}"):
        assert Bootstrap.parse(form.format(line)) == Bootstrap.parse(line)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("192.0.2.7:4001/", "not a peer id"),
        (f"'192.0.2.7:4001/{PEER[:-3]}'", "the peer id is cut"),
        (f"192.0.2.7:1/{PEER} 192.0.2.8:1/{PEER}", "two different addresses stand there"),
        ("join: 192.0.2.7:4001 thanks", "not an address of the form host:port"),
        (f"join 192.0.2.\n7:4001/{PEER}", "not an address"),
        ("2001:db8::7:4001", "write an IPv6 address as"),
        ("'192.0.2.7:99999'", "not a port"),
        ("\u200b", "not an address"),
        ("x" * 9000, "not an address"),
    ],
)
def test_what_is_no_whole_address_is_refused(text: str, told: str) -> None:
    with pytest.raises(BadAddress, match=told):
        Bootstrap.parse(text)


@given(st.text(max_size=300) | st.text(alphabet="p2a:/[].>'\n \u200b%&#;-", max_size=300))
def test_any_text_is_one_or_is_refused(text: str) -> None:
    for candidate in (text, f"{text}{PEER}", f"[::1]:4001/{PEER}{text}"):
        with contextlib.suppress(BadPeerId):
            assert len(peer_id_in(candidate)) == 20
        try:
            where = Bootstrap.parse(candidate)
        except BadAddress:
            continue
        assert Bootstrap.parse(str(where)) == where
