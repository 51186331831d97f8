"""Messages that may be given up (RFC 3758)."""

from random import Random

import pytest

from protocol.sctp.config import Role
from tests.protocol.sctp.model_link import (
    Faults,
    World,
    drain,
    established,
    exchange,
    join,
    make_association,
    messages,
)


def partial_run(
    loss: float, *, ordered: bool, max_retransmits: int | None, max_lifetime_ms: int | None
) -> tuple[list[int], int]:
    """Send 300 numbered messages of three packets over a bad path; return what arrived."""
    pair = join(
        World(),
        make_association(Role.CLIENT, 1),
        make_association(Role.SERVER, 2),
        rtt_s=0.1,
    ).connect()
    pair.run(1)
    client = pair.client.association
    stream_id = client.open_channel(
        "c", ordered=ordered, max_retransmits=max_retransmits, max_lifetime_ms=max_lifetime_ms
    )
    pair.client.flush()
    pair.run(1)
    pair.forward.faults = Faults(loss=loss)
    for number in range(300):
        client.send(stream_id, number.to_bytes(2) * 1600, pair.world.now)
        pair.client.flush()
        pair.run(0.01)
    pair.forward.faults = Faults()
    pair.run(5)
    client.send(stream_id, (999).to_bytes(2) * 1600, pair.world.now)
    pair.client.flush()
    pair.run(5)
    assert client.sender is not None
    assert client.sender.board.outstanding == 0
    assert pair.server.association.receiver is not None
    assert pair.server.association.receiver.reassembly.held_bytes == 0
    arrived = [int.from_bytes(data[:2]) for data in pair.server.messages(stream_id)]
    assert all(len(data) == 3200 for data in pair.server.messages(stream_id))
    return arrived, client.sender.given_up_messages


@pytest.mark.parametrize("ordered", [True, False])
def test_rfc_3758_no_retransmission_means_that_the_lost_stays_lost(ordered: bool) -> None:
    arrived, given_up = partial_run(0.1, ordered=ordered, max_retransmits=0, max_lifetime_ms=None)
    assert arrived[-1] == 999
    assert 150 < len(arrived) < 290
    assert len(arrived) + given_up == 301
    assert len(set(arrived)) == len(arrived)
    assert not ordered or arrived == sorted(arrived)


def test_rfc_3758_some_retransmissions_mend_most() -> None:
    arrived, given_up = partial_run(0.1, ordered=True, max_retransmits=2, max_lifetime_ms=None)
    assert len(arrived) >= 297
    assert arrived == sorted(arrived)
    assert len(arrived) + given_up == 301


def test_rfc_3758_a_lifetime_bounds_how_long_is_tried() -> None:
    arrived, _ = partial_run(0.1, ordered=True, max_retransmits=None, max_lifetime_ms=50)
    lenient, _ = partial_run(0.1, ordered=True, max_retransmits=None, max_lifetime_ms=2000)
    assert len(arrived) < len(lenient)
    assert len(lenient) >= 299
    assert arrived[-1] == lenient[-1] == 999


def test_rfc_3758_what_expires_in_the_queue_never_leaves() -> None:
    client, server = established()
    stream_id = client.open_channel("c", max_lifetime_ms=100)
    drain(client, server)
    server.events()
    client.send(stream_id, b"stale", 10.0)
    client.send(stream_id, b"fresh", 10.5)
    exchange(client, server, 10.5)
    assert messages(server) == [b"fresh"]
    assert client.buffered_amount(stream_id) == 0


def test_rfc_3758_a_message_given_up_half_sent_is_skipped() -> None:
    pair = join(
        World(), make_association(Role.CLIENT, 1), make_association(Role.SERVER, 2), rtt_s=0.1
    ).connect()
    pair.run(1)
    client = pair.client.association
    stream_id = client.open_channel("c", max_lifetime_ms=300)
    pair.client.flush()
    pair.run(1)
    pair.forward.down = True
    client.send(stream_id, bytes(500_000), pair.world.now)
    pair.client.flush()
    pair.run(2)
    pair.forward.down = False
    client.send(stream_id, b"after", pair.world.now)
    pair.client.flush()
    pair.run(10)
    assert pair.server.messages(stream_id) == [b"after"]
    assert client.sender is not None
    assert client.sender.board.outstanding == 0
    assert client.buffered_amount(stream_id) == 0


def test_rfc_3758_giving_up_never_skips_what_is_reliable() -> None:
    pair = join(
        World(), make_association(Role.CLIENT, 1), make_association(Role.SERVER, 2), rtt_s=0.1
    ).connect()
    pair.run(1)
    client = pair.client.association
    reliable = client.open_channel("reliable")
    fickle = client.open_channel("fickle", max_retransmits=0)
    pair.client.flush()
    pair.run(1)
    pair.forward.faults = Faults(loss=0.1, reorder=0.1)
    sent = []
    for number in range(300):
        message = number.to_bytes(2) * Random(number).randrange(1, 2000)
        sent.append(message)
        client.send(reliable, message, pair.world.now)
        client.send(fickle, message, pair.world.now)
        pair.client.flush()
        pair.run(0.01)
    pair.forward.faults = Faults()
    pair.run(10)
    assert pair.server.messages(reliable) == sent
    assert 100 < len(pair.server.messages(fickle)) < 300
