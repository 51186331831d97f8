"""Addresses: one spelling, packed and back, and nothing that a resolver would have to see."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.addresses import Address, canonical, pack_address, split_host_port, unpack_address
from protocol.errors import BadAddress, Malformed, NotUnicast
from tests.hosts import HOSTS

repeatable = settings(deadline=None, derandomize=True)

PORTS = st.integers(1, 65535)
ADDRESSES = st.builds(lambda host, port: Address(str(host), port), HOSTS, PORTS)


@repeatable
@given(ADDRESSES)
def test_an_address_comes_back_from_its_bytes(address: Address) -> None:
    packed = pack_address(address)
    assert len(packed) == {4: 6, 6: 18}[address.family]
    assert unpack_address(packed) == canonical(*address) == address


@settings(repeatable, max_examples=300)
@given(
    st.binary(max_size=20) | st.binary(min_size=6, max_size=6) | st.binary(min_size=18, max_size=18)
)
def test_any_bytes_are_an_address_in_its_one_spelling_or_malformed(data: bytes) -> None:
    try:
        address = unpack_address(data)
    except Malformed:
        return
    assert pack_address(address) == data
    assert canonical(*address) == address
    assert ipaddress.ip_address(address.host).version == address.family


@pytest.mark.parametrize(
    ("address", "packed", "text"),
    [
        (Address("192.0.2.7", 4001), "c00002070fa1", "192.0.2.7:4001"),
        (Address("1.0.0.0", 1), "010000000001", "1.0.0.0:1"),
        (
            Address("2001:db8::7", 65535),
            "20010db8000000000000000000000007ffff",
            "[2001:db8::7]:65535",
        ),
    ],
)
def test_golden_addresses(address: Address, packed: str, text: str) -> None:
    assert pack_address(address).hex() == packed
    assert unpack_address(bytes.fromhex(packed)) == address
    assert str(address) == text
    assert canonical(*split_host_port(text)) == address


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"12345",
        b"1234567",
        bytes(17),
        bytes(19),
        bytes(6),
        b"\x01\x02\x03\x04\x00\x00",
        bytes(10) + b"\xff\xff\x01\x02\x03\x04\x00P",
        b" \x01" + bytes(16),
    ],
)
def test_bytes_that_are_no_address(data: bytes) -> None:
    with pytest.raises(Malformed):
        unpack_address(data)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.251",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "ff02::1",
        "ff0e::1:2",
    ],
)
def test_an_address_that_is_not_one_machines_is_refused_where_a_peer_names_it(host: str) -> None:
    with pytest.raises(NotUnicast):
        unpack_address(pack_address(Address(host, 4001)))


@pytest.mark.parametrize("host", ["1.0.0.0", "223.255.255.255", "127.0.0.1", "::1", "fe80::1"])
def test_the_addresses_beside_those_are_taken(host: str) -> None:
    assert unpack_address(pack_address(Address(host, 4001))) == (host, 4001)


@pytest.mark.parametrize(
    ("host", "spelled"),
    [
        ("2001:0DB8:0:0::7", "2001:db8::7"),
        ("::FFFF:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_an_address_has_one_spelling(host: str, spelled: str) -> None:
    assert canonical(host, 80) == (spelled, 80)
    assert unpack_address(pack_address(canonical(host, 80))) == (spelled, 80)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "example.org",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "256.1.1.1",
        "1.2.3.4 ",
        "fe80::1%eth0",
        "::ffff:1.2.3.4%1",
        "[::1]",
        "1.2.3.4\x00",
        "１.2.3.4",
        "a" * 10000,
    ],
)
def test_names_scopes_and_loose_spellings_are_refused(host: str) -> None:
    with pytest.raises(BadAddress):
        canonical(host, 80)


@pytest.mark.parametrize("port", [0, -1, 65536, 2**70])
def test_ports_end_at_65535(port: int) -> None:
    with pytest.raises(BadAddress):
        canonical("192.0.2.7", port)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("example.org:4001", "example.org", 4001),
        (" 192.0.2.7:1 ", "192.0.2.7", 1),
        ("[2001:db8::7]:65535", "2001:db8::7", 65535),
        ("[192.0.2.7]:80", "192.0.2.7", 80),
        ("example.org:0", "example.org", 0),
        ("example.org:0080", "example.org", 80),
        ("example.org:0000080", "example.org", 80),
        ("example.org:" + "0" * 5000, "example.org", 0),
    ],
)
def test_host_and_port_as_a_person_writes_them(text: str, host: str, port: int) -> None:
    assert split_host_port(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":80",
        "example.org",
        "example.org:",
        "2001:db8::7:80",
        "[]:80",
        "[2001:db8::7]",
        "a:65536",
        "a:123456",
        "a:0123456",
        "a:-1",
        "a:+1",
        "a:8_0",
        "a:８０",
        "a:8 0",
        "a:" + "9" * 9999,
        "a..b:80",
        ".a:80",
        "a" * 64 + ":80",
        "a\u200db\u0301\u0627:80",
    ],
)
def test_what_is_not_host_and_port(text: str) -> None:
    with pytest.raises(BadAddress) as refused:
        split_host_port(text)
    assert len(str(refused.value)) < 200


@repeatable
@given(st.text(max_size=40))
def test_any_text_is_host_and_port_or_a_bad_address(text: str) -> None:
    try:
        host, port = split_host_port(text)
    except BadAddress:
        return
    assert host
    assert 0 <= port <= 65535
