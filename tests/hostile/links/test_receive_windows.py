"""Peers that leave a hole in what they send, and fill all behind it, hold a node's memory."""

import pytest

from node.links.channel.windows import LinkWindows
from protocol import limits as node_limits
from protocol.sctp import limits
from protocol.sctp.association import Association
from tests.protocol.sctp.model_link import messages, wide_open

PIECE = bytes(60_000)
WHOLE = 3  # flags: the first and the last fragment of a message
MANY = 64


def fill(association: Association) -> int:
    """Send messages behind a hole until nothing more is taken; the bytes that are held."""
    receiver = association.receiver
    assert receiver is not None
    ahead = 2
    while not receiver.dropped_chunks:
        wire = (receiver.cumulative + ahead) & 0xFFFFFFFF
        receiver.on_data(WHOLE, wire, 0, ahead, 53, PIECE)
        ahead += 1
    receiver.dropped_chunks = 0
    return receiver.reassembly.held_bytes


@pytest.mark.parametrize("attackers", [4, MANY, node_limits.LINKS])
def test_what_is_held_behind_holes_is_bounded_for_all_links(attackers: int) -> None:
    windows = LinkWindows()
    held = 0
    for _ in range(attackers):
        _, association = wide_open()
        windows.join(association, association.limit_window)
        held += fill(association)
    alone = limits.RECEIVE_WINDOW_BYTES + limits.RECEIVE_WINDOW_BYTES // limits.RECEIVE_WINDOW_SLACK
    assert held <= 5 * limits.RECEIVE_WINDOWS_BYTES
    assert held <= attackers * alone / max(1, attackers / 20)


def test_an_honest_peer_has_the_same_window_as_those_that_came_before() -> None:
    windows = LinkWindows()
    attacked = []
    for _ in range(MANY):
        _, association = wide_open()
        windows.join(association, association.limit_window)
        fill(association)
        attacked.append(association)
    client, server = wide_open()
    for one in (client, server):
        one.open_channel("c", negotiated_id=0)
    windows.join(server, server.limit_window)
    assert server.receiver is not None
    assert (
        server.receiver.window_bytes == windows.share_bytes == limits.RECEIVE_WINDOWS_BYTES // 128
    )
    now = 0.0
    for number in range(40):
        now += 0.1
        client.send(0, number.to_bytes(50_000), now)
        for _ in range(4):
            server.receive_burst(client.datagrams_to_send(now), now)
            client.receive_burst(server.datagrams_to_send(now), now)
            now += 0.1
        assert messages(server) == [number.to_bytes(50_000)]
    assert not any(one.receiver and one.receiver.window_bytes for one in attacked)
    for association in attacked:
        windows.leave(association)
        windows.leave(association)
    assert len(windows) == 1
    assert server.receiver.window_bytes == windows.share_bytes == limits.RECEIVE_WINDOW_BYTES


def test_a_peer_that_restarts_keeps_the_share() -> None:
    windows = LinkWindows()
    many = [wide_open()[1] for _ in range(MANY)]
    for association in many:
        windows.join(association, association.limit_window)
    assert {one._core.window_bytes for one in many} == {windows.share_bytes}
    assert all(one.receiver and one.receiver.window_bytes == windows.share_bytes for one in many)
