"""A gateway is no open proxy: what it forwards, and for whom."""

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.errors import NotPermitted, RateLimited, RemoteError
from protocol.identity import PeerId
from protocol.streams.forwarding import GatewayAllowance, StreamForwarding, check_heard

CONTACT = Address("9.9.9.1", 4000)
UNPROVED = Address("9.9.8.1", 4000)
OWN = Address("9.9.7.1", 4000)
DHT = 0xD0


def forwarding(
    allowance: GatewayAllowance | None = None, client_host: str = "8.8.8.8", client: int = 0
) -> StreamForwarding:
    return StreamForwarding(
        PeerId(client.to_bytes(20)),
        client_host,
        allowance or GatewayAllowance(),
        knows=lambda address: address.host.startswith("9.9.9."),
        own_addresses=frozenset({OWN}),
    )


def sent(one: StreamForwarding, address: Address, times: int, now: float = 0.0) -> int:
    """How many of so many datagrams leave."""
    count = 0
    for _ in range(times):
        try:
            one.check_outgoing(DHT, 100, address, now)
        except RemoteError:
            continue
        count += 1
    return count


def sent_to_contacts(one: StreamForwarding, now: float = 0.0) -> int:
    return sum(sent(one, Address(f"9.9.9.{host}", 4000), 100, now) for host in range(1, 51))


def test_contacts_get_all_that_the_rate_allows() -> None:
    one = forwarding()
    assert sent_to_contacts(one) == limits.STREAM_BURST_BYTES // 100
    assert sent_to_contacts(one, now=1.0) == pytest.approx(
        limits.STREAM_BYTES_PER_SECOND // 100, abs=1
    )


def test_the_streams_leave_the_gateway_some_of_what_a_contact_takes_of_its_host() -> None:
    allowance = GatewayAllowance()
    streams = [forwarding(allowance, client=number) for number in range(limits.STREAMS)]
    assert sent(streams[0], CONTACT, 500) == 134
    assert sum(sent(one, CONTACT, 500) for one in streams[1:]) > 200
    assert sum(sent(one, CONTACT, 500) for one in streams) == 0
    assert limits.STREAM_DATAGRAMS_PER_ADDRESS < limits.REQUESTS_PER_SECOND_PER_HOST
    assert sent(streams[0], Address("9.9.9.2", 4000), 10) == 10
    assert sent(streams[0], CONTACT, 100, now=1.1) == 100


def test_an_unproved_address_gets_two_datagrams_a_minute_from_all_streams() -> None:
    allowance = GatewayAllowance()
    streams = [forwarding(allowance) for _ in range(limits.STREAMS)]
    assert sum(sent(one, UNPROVED, 100) for one in streams) == 2
    assert sum(sent(one, UNPROVED, 100, now=59.0) for one in streams) == 0
    assert sum(sent(one, UNPROVED, 100, now=61.0) for one in streams) == 2


def test_an_address_that_answers_is_unproved_no_longer() -> None:
    one = forwarding()
    assert sent(one, UNPROVED, 5) == 2
    one.check_incoming(DHT, 100, UNPROVED, 0.1)
    assert sent(one, UNPROVED, 50, now=0.2) == 50


@pytest.mark.parametrize("first_byte", [0x00, 0x16, 0x40, 0x80, 0xC0, 0xE0])
def test_only_the_overlay_s_datagrams_pass(first_byte: int) -> None:
    one = forwarding()
    one.check_outgoing(DHT, 100, CONTACT, 0.0)
    with pytest.raises(NotPermitted):
        one.check_outgoing(first_byte, 100, CONTACT, 0.0)
    with pytest.raises(NotPermitted):
        one.check_incoming(first_byte, 100, CONTACT, 0.0)


@pytest.mark.parametrize(
    ("client", "host", "passes"),
    [
        ("8.8.8.8", "10.0.0.1", False),
        ("8.8.8.8", "127.0.0.1", False),
        ("8.8.8.8", "169.254.1.1", False),
        ("8.8.8.8", "fd00::1", False),
        ("8.8.8.8", "::1", False),
        ("8.8.8.8", "fec0::1", False),
        ("8.8.8.8", "::10.0.0.1", False),
        ("8.8.8.8", "::ffff:0:10.0.0.1", False),
        ("8.8.8.8", "64:ff9b::10.0.0.1", False),
        ("8.8.8.8", "64:ff9b:1::10.0.0.1", False),
        ("8.8.8.8", "2002:a00:1::1", False),
        ("8.8.8.8", "2a00::1", True),
        ("192.168.1.2", "64:ff9b::127.0.0.1", False),
        ("192.168.1.2", "::127.0.0.1", False),
        ("192.168.1.2", "fd00::1", True),
        ("192.168.1.2", "192.168.1.3", True),
        ("192.168.1.2", "127.0.0.1", False),
        ("192.168.1.2", "9.9.9.9", True),
        ("127.0.0.1", "127.0.0.1", True),
    ],
)
def test_the_network_reaches_nothing_private(client: str, host: str, passes: bool) -> None:
    one, address = forwarding(client_host=client), Address(host, 4000)
    assert sent(one, address, 1) == passes
    if passes:
        check_heard(bytes((DHT,)), address, client)
    else:
        with pytest.raises(NotPermitted):
            check_heard(bytes((DHT,)), address, client)


def test_a_gateway_is_heard_as_others_of_the_overlay_alone() -> None:
    check_heard(b"\xd0\xdf\xd3", CONTACT, "8.8.8.8")
    with pytest.raises(NotPermitted):
        check_heard(b"\xd0\x00\xd3", CONTACT, "8.8.8.8")


def test_the_gateway_itself_is_reached_by_the_stream_alone() -> None:
    assert sent(forwarding(), OWN, 1) == 0


def test_only_who_was_sent_to_lately_is_heard() -> None:
    one = forwarding()
    with pytest.raises(NotPermitted):
        one.check_incoming(DHT, 100, CONTACT, 0.0)
    one.check_outgoing(DHT, 100, CONTACT, 0.0)
    one.check_incoming(DHT, 100, CONTACT, limits.STREAM_HEARD_S)
    with pytest.raises(NotPermitted):
        one.check_incoming(DHT, 100, CONTACT, limits.STREAM_HEARD_S + 1)


def test_what_contacts_send_to_a_client_has_a_rate() -> None:
    one = forwarding()
    one.check_outgoing(DHT, 100, CONTACT, 0.0)
    for _ in range(limits.STREAM_BURST_BYTES // 1000):
        one.check_incoming(DHT, 1000, CONTACT, 0.0)
    with pytest.raises(RateLimited):
        one.check_incoming(DHT, 1000, CONTACT, 0.0)


def test_tables_are_bounded_and_the_oldest_goes() -> None:
    unproved, one = GatewayAllowance(), forwarding()
    for number in range(limits.STREAM_UNPROVED + 1):
        unproved.charge_unproved(Address(f"9.{number >> 8 & 255}.{number & 255}.1", 4000), 0.0)
    unproved.charge_unproved(Address("9.0.0.1", 4000), 0.0)
    unproved.charge_unproved(Address("9.0.0.1", 4000), 0.0)
    one.check_outgoing(DHT, 1, CONTACT, 0.0)
    for number in range(limits.STREAM_CONTACTS):
        address = Address(f"9.8.{number >> 8}.{number & 255}", 4000)
        one.check_outgoing(DHT, 1, address, number / limits.STREAM_TRIED_PER_SECOND)
    with pytest.raises(NotPermitted):
        one.check_incoming(DHT, 1, CONTACT, 0.0)


def test_a_stream_tries_few_addresses_so_it_scans_for_nothing() -> None:
    one = forwarding()
    small = [Address(f"11.{number >> 8}.{number & 255}.1", 4000) for number in range(9000)]

    def tried(now: float) -> int:
        count = 0
        for address in small:
            try:
                one.check_outgoing(DHT, 1, address, now)
            except RateLimited:
                continue
            count += 1
        return count

    assert tried(0.0) == limits.STREAM_TRIED_BURST
    assert tried(60.0) <= limits.STREAM_TRIED_PER_SECOND * 60 + 1
    assert sent(one, CONTACT, 10, now=60.0) == 10, "contacts are none of them"


def test_a_node_that_joins_may_try_some_hundred_contacts() -> None:
    one = forwarding()
    addresses = [Address(f"11.0.{number}.1", 4000) for number in range(200)]
    assert sum(sent(one, address, 2) for address in addresses) == 2 * len(addresses)
    later = [Address(f"11.1.{number}.1", 4000) for number in range(200)]
    assert sum(sent(one, address, 1, now=60.0) for address in later) == len(later)
