"""INITs exchanged by signaling: both ends begin established, and nothing is lost by that."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits as protocol_limits
from protocol.randomness import Random as RandomSource
from protocol.sctp import chunks
from protocol.sctp.association import Association
from protocol.sctp.chunks import Init
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.control.handshake import fresh_init
from protocol.sctp.errors import MalformedChunk
from protocol.sctp.events import Connected
from protocol.sctp.status import AssociationState
from tests.protocol.sctp.model_link import Faults, World, chunks_of, exchange, join

SETUP = {chunks.INIT, chunks.INIT_ACK, chunks.COOKIE_ECHO, chunks.COOKIE_ACK}


def config(role: Role, streams: int = 1) -> AssociationConfig:
    return AssociationConfig(role, own_peer=True, streams=streams)


def carried(init: Init) -> Init:
    """The INIT as a description brings it."""
    return chunks.decode_init(chunks.encode_init_value(init))


def prepared(seed: int = 1) -> tuple[Association, Init, Association, Init]:
    """Two associations that have not begun, each with its INIT."""
    random: RandomSource = Random(seed)
    made: list[tuple[Association, Init]] = []
    for role in Role:
        own = fresh_init(config(role), random)
        made.append((Association(config(role), random, own_init=carried(own)), carried(own)))
    (client, one), (server, other) = made
    return client, one, server, other


def established(seed: int = 1) -> tuple[Association, Association]:
    client, one, server, other = prepared(seed)
    for association in (client, server):
        association.open_channel("c", negotiated_id=0)
    client.establish(other, 0.0)
    server.establish(one, 0.0)
    return client, server


def test_both_begin_established_and_no_handshake_is_sent() -> None:
    client, server = established()
    for association in (client, server):
        assert association.state is AssociationState.ESTABLISHED
        assert [type(event) for event in association.events()] == [Connected]
        assert association.next_timer() is None or association.next_timer() != 0.0
        assert association.datagrams_to_send(0.0) == []
    client.send(0, b"there", 0.0)
    first = client.datagrams_to_send(0.0)
    assert {kind for kind, _, _ in chunks_of(first)} == {chunks.DATA}
    server.receive_burst(first, 0.0)
    server.send(0, b"back", 0.0)
    assert [event.data for event in server.events()] == [b"there"]  # type: ignore[union-attr]
    back = server.datagrams_to_send(0.0)
    assert not SETUP & {kind for kind, _, _ in chunks_of(back)}
    client.receive_burst(back, 0.0)
    assert [event.data for event in client.events()] == [b"back"]  # type: ignore[union-attr]
    exchange(client, server)
    assert not client.counters
    assert not server.counters


def test_the_init_has_the_tag_window_and_streams_that_the_association_uses() -> None:
    client, one, _, _ = prepared()
    assert client.local_tag == one.tag
    assert one.window_bytes == config(Role.CLIENT).receive_window_bytes
    assert (one.outgoing_streams, one.incoming_streams) == (1, 1)
    assert len(chunks.encode_init_value(one)) <= protocol_limits.SCTP_INIT_BYTES


def test_extensions_are_those_that_the_inits_name() -> None:
    client, server = established()
    client.close_channel(0)
    asked = {kind for kind, _, _ in chunks_of(client.datagrams_to_send(0.0))}
    assert asked == {chunks.RECONFIG}
    exchange(client, server)
    assert not server.counters


@pytest.mark.parametrize(
    "bad",
    [
        Init(0, 2**20, 1, 1, 1),
        Init(1, 0, 1, 1, 1),
        Init(1, 2**20, 0, 1, 1),
        Init(1, 2**20, 1, 0, 1),
    ],
)
def test_an_init_that_no_handshake_would_accept_is_refused(bad: Init) -> None:
    client, _, _, _ = prepared()
    with pytest.raises(MalformedChunk):
        client.establish(bad, 0.0)
    assert client.state is AssociationState.CLOSED


def test_a_round_trip_that_was_measured_before_counts() -> None:
    client, _, _, other = prepared()
    client.establish(other, 0.0, 0.04)
    assert client.round_trip_s == 0.04


def test_only_an_association_that_has_not_begun_can_begin() -> None:
    client, server = established()
    peer = carried(fresh_init(config(Role.SERVER), Random(9)))
    tag = client.local_tag
    client.establish(peer, 0.0)
    client.send(0, b"to the first", 0.0)
    exchange(client, server)
    assert client.local_tag == tag
    assert any(getattr(event, "data", b"") == b"to the first" for event in server.events())
    client.abort()
    client.establish(peer, 0.0)
    assert client.over


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.05, 0.15]),  # of .3 ten in a row, which end it, are lost too often
    st.booleans(),
    st.floats(0.0, 0.2),
)
def test_messages_arrive_whole_and_in_order_whatever_the_path_does(
    seed: int, loss: float, reorder: bool, server_later_s: float
) -> None:
    """Also where one end begins later: what came too early is sent again."""
    client, one, server, other = prepared(seed)
    faults = Faults(loss=loss, reorder=0.2 if reorder else 0.0, duplicate=0.1)
    pair = join(World(), client, server, seed=seed, faults=faults, back_faults=faults)
    told = [bytes([number]) * (1 + 700 * number) for number in range(12)]

    def begin(host: object, association: Association, peer_init: Init) -> None:
        association.open_channel("c", negotiated_id=0)
        association.establish(peer_init, pair.world.now)
        for message in told:
            association.send(0, message, pair.world.now)
        host.flush()  # type: ignore[attr-defined]

    begin(pair.client, client, other)
    pair.world.at(server_later_s, lambda: begin(pair.server, server, one))
    pair.run(300.0)  # timeouts are doubled, seven times where much is lost
    assert pair.client.messages(0) == told
    assert pair.server.messages(0) == told
    assert client.connected
    assert server.connected
