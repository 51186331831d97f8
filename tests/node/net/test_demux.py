"""Each datagram reaches exactly one owner, in order, or is counted once under one name."""

from collections import Counter
from dataclasses import replace

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from node.counters import Counters
from node.net.claim import Claim
from node.net.demux import APPLICATION_DATA, ChannelBuffers, Demux, RecordBuffers
from node.net.recent_hosts import RecentHosts
from protocol import limits
from protocol.addresses import Address
from protocol.errors import AlreadyOwned, Malformed, Overloaded

LOCAL = Address("192.0.2.1", 4001)
NEAR, FAR = Address("192.0.2.2", 1), Address("192.0.2.3", 2)

RECORD = b"\x17" + bytes(29)
HANDSHAKE = b"\x16" + bytes(29)
SEALED = b"\xd0" + bytes(29)


ATTEMPT = Claim(b"peer", is_fresh=True, began_at=5.0, opened_at=None, rank=0)


class Owner:
    """Keeps what it is given."""

    def __init__(self, claims: Claim = ATTEMPT) -> None:
        self.taken: list[object] = []
        self.claims = claims

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        self.taken.append(("stun", message, source, local))

    def dtls_received(self, datagram: bytes) -> None:
        self.taken.append(datagram)

    def records_received(self, buffers: RecordBuffers) -> None:
        self.taken.append(buffers)

    def claim(self) -> Claim:
        return self.claims

    def remote_taken_over(self, remote: Address) -> None:
        self.taken.append(("lost", remote))


class Scene:
    """A demultiplexer, what it counts, and what the reader of SEALED has taken."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.heard = RecentHosts()
        self.demux = Demux(self.counters, self.heard)
        self.read: list[tuple[bytes, Address]] = []
        self.demux.register_reader(SEALED[0], lambda *taken: self.read.append(taken))

    def receive(self, *datagrams: tuple[bytes, Address]) -> None:
        self.demux.burst_received(
            [(one, len(one), tuple(source)) for one, source in datagrams], LOCAL
        )

    @property
    def refused(self) -> dict[str, int]:
        return dict(self.counters.refused)


def message(kind: stun.Class, username: str | None = None) -> stun.Message:
    made = stun.Message(stun.Method.BINDING, kind)
    if username is not None:
        made.attributes["USERNAME"] = username
    made.add_message_integrity(b"password")
    return made


# Owners -----------------------------------------------------------------------------------


def test_a_first_byte_belongs_to_its_reader() -> None:
    scene = Scene()
    scene.receive((SEALED, NEAR), (b"\x90hello", NEAR), (b"\xdf", NEAR), (b"", NEAR))
    assert scene.read == [(SEALED, NEAR)]
    assert scene.refused == {"unknown_first_byte": 2, "empty_datagram": 1}
    assert scene.counters.datagrams_received == 4
    assert scene.counters.bytes_received == len(SEALED) + 6 + 1


@pytest.mark.parametrize(
    "datagram",
    [SEALED, b"\xff", b"\x00", b"\x40\x00\x00\x00", b"\x16", bytes((APPLICATION_DATA,))],
    ids=["read", "unknown", "STUN", "channel data", "handshake", "records"],
)
def test_a_host_that_sent_anything_was_heard_from(datagram: bytes) -> None:
    scene = Scene()
    scene.receive((datagram, NEAR))
    assert scene.heard.known() == {NEAR.host}


def test_a_reader_may_note_hosts_itself() -> None:
    scene = Scene()
    scene.demux.register_reader(0xDD, lambda *_: None, notes_hosts=True)
    scene.receive((b"\xdd", NEAR))
    assert scene.heard.known() == set()


def test_a_stun_response_belongs_to_the_owner_of_its_transactions() -> None:
    scene, one, other = Scene(), Owner(), Owner()
    ours, foreign = message(stun.Class.RESPONSE), message(stun.Class.ERROR)
    ours.transaction_id, foreign.transaction_id = b"ours12345678", b"our_12345678"
    scene.demux.register_transactions(b"ours", one)
    scene.demux.register_transactions(b"othe", other)
    scene.receive((bytes(ours), NEAR), (bytes(foreign), NEAR))
    assert one.taken == [("stun", bytes(ours), NEAR, LOCAL)]
    assert other.taken == []
    assert scene.refused == {"unknown_stun_transaction": 1}
    scene.demux.release(one)
    scene.receive((bytes(ours), NEAR))
    assert len(one.taken) == 1
    assert scene.refused == {"unknown_stun_transaction": 2}
    with pytest.raises(ValueError, match="4 bytes"):
        scene.demux.register_transactions(b"short"[:3], one)


def test_a_stun_request_belongs_to_its_receivers_ufrag() -> None:
    scene, one, other = Scene(), Owner(), Owner()
    scene.demux.register_ufrag("ours", one)
    scene.demux.register_ufrag("theirs", other)
    check = message(stun.Class.REQUEST, "ours:theirs")
    # A response is told by its transaction alone, even if it names a ufrag.
    answer = message(stun.Class.RESPONSE, "ours:theirs")
    unknown = [message(stun.Class.REQUEST, name) for name in ("our:s", ":ours", "", "OURS:a", None)]
    scene.receive(*((bytes(one), FAR) for one in (check, answer, *unknown)))
    assert one.taken == [("stun", bytes(check), FAR, LOCAL)]
    assert other.taken == []
    assert scene.refused == {"unknown_stun_transaction": 1, "unknown_ufrag": 5}


def test_the_stun_server_gets_what_names_no_ufrag_of_this_node() -> None:
    scene, server, link = Scene(), Owner(), Owner()
    scene.demux.register_stun_server(server)
    scene.demux.register_ufrag("ours", link)
    names = (None, "", "user", "theirs:ours")
    foreign = [message(stun.Class.REQUEST, name) for name in names]
    indication, response = message(stun.Class.INDICATION), message(stun.Class.RESPONSE)
    check = message(stun.Class.REQUEST, "ours:theirs")
    scene.receive(*((bytes(one), FAR) for one in (*foreign, indication, response, check)))
    expected = [("stun", bytes(asked), FAR, LOCAL) for asked in (*foreign, indication)]
    assert server.taken == expected
    assert link.taken == [("stun", bytes(check), FAR, LOCAL)]
    assert scene.refused == {"unknown_stun_transaction": 1}
    with pytest.raises(AlreadyOwned):
        scene.demux.register_stun_server(link)


def test_a_ufrag_that_is_no_longer_registered_lets_nothing_in() -> None:
    scene, one = Scene(), Owner()
    check = bytes(message(stun.Class.REQUEST, "first:theirs"))
    scene.demux.register_ufrag("first", one)
    scene.demux.register_ufrag("second", one)
    scene.demux.unregister_ufrag("first")
    scene.receive((check, NEAR), (bytes(message(stun.Class.REQUEST, "second:theirs")), NEAR))
    assert len(one.taken) == 1
    assert scene.refused == {"unknown_ufrag": 1}


def test_malformed_stun_belongs_to_none() -> None:
    scene, one = Scene(), Owner()
    scene.demux.register_ufrag("ours", one)
    good = bytes(message(stun.Class.REQUEST, "ours:theirs"))
    wrong_cookie = good[:4] + bytes(4) + good[8:]
    scene.receive(*((bad, NEAR) for bad in (b"\x00", good[:19], good + b"\0", wrong_cookie)))
    assert one.taken == []
    assert scene.refused == {"malformed_stun": 4}


def test_dtls_belongs_to_the_link_at_the_remote_address() -> None:
    scene, one, other = Scene(), Owner(), Owner()
    scene.demux.register_remote(NEAR, one)
    scene.demux.register_remote(FAR, other)
    scene.receive((HANDSHAKE, NEAR), (HANDSHAKE, Address(NEAR.host, 9)), (RECORD, LOCAL))
    assert one.taken == [HANDSHAKE]
    assert other.taken == []
    assert scene.refused == {"unknown_remote": 2}


@pytest.mark.parametrize("source", [("::ffff:192.0.2.2", 1, 0, 0), ("192.0.2.2", 1)])
def test_a_mapped_address_is_the_address_that_is_mapped(source: tuple[object, ...]) -> None:
    scene, one = Scene(), Owner()
    scene.demux.register_remote(NEAR, one)
    scene.demux.burst_received([(HANDSHAKE, 30, source), (SEALED, 30, source)], LOCAL)
    assert one.taken == [HANDSHAKE]
    assert scene.read == [(SEALED, NEAR)]


# Bursts -----------------------------------------------------------------------------------


def test_application_records_of_a_burst_come_whole_and_at_once() -> None:
    scene, one, other = Scene(), Owner(), Owner()
    scene.demux.register_remote(NEAR, one)
    scene.demux.register_remote(FAR, other)
    bulk, short = (RECORD * 4 + RECORD[:20], 30, tuple(NEAR)), (RECORD, 30, tuple(FAR))
    foreign = (RECORD * 3, 30, tuple(LOCAL))
    scene.demux.burst_received([bulk, short, foreign, bulk], LOCAL)
    assert one.taken == [[bulk[:2], bulk[:2]]]
    assert other.taken == [[short[:2]]]
    assert scene.refused == {"unknown_remote": 3}
    assert scene.counters.datagrams_received == 5 + 1 + 3 + 5


def test_a_burst_of_mixed_kinds_reaches_each_owner_in_order() -> None:
    scene, one, other = Scene(), Owner(), Owner()
    scene.demux.register_remote(NEAR, one)
    scene.demux.register_remote(FAR, other)
    scene.demux.register_ufrag("ours", one)
    check = bytes(message(stun.Class.REQUEST, "ours:theirs"))
    scene.receive(
        (RECORD, NEAR),
        (SEALED, FAR),
        (RECORD, FAR),
        (RECORD, NEAR),
        (check, NEAR),
        (RECORD, NEAR),
        (HANDSHAKE, NEAR),
        (SEALED, NEAR),
        (HANDSHAKE, FAR),
    )
    record = (RECORD, len(RECORD))
    stun_taken = ("stun", check, NEAR, LOCAL)
    assert one.taken == [[record, record], stun_taken, [record], HANDSHAKE]
    assert other.taken == [[record], HANDSHAKE]
    assert scene.read == [(SEALED, FAR), (SEALED, NEAR)]


def test_a_joined_buffer_of_mixed_kinds_is_taken_apart() -> None:
    scene, one = Scene(), Owner()
    scene.demux.register_remote(NEAR, one)
    buffer = RECORD + SEALED + HANDSHAKE + b"\xd0"
    scene.demux.burst_received([(buffer, 30, tuple(NEAR))], LOCAL)
    assert one.taken == [RECORD, HANDSHAKE]
    assert scene.read == [(SEALED, NEAR), (b"\xd0", NEAR)]
    assert scene.counters.datagrams_received == 4


def test_what_a_reader_refuses_is_counted_and_the_burst_goes_on() -> None:
    scene = Scene()

    def refuse(_datagram: bytes, _source: Address) -> None:
        raise Malformed("a datagram that is wrong")

    scene.demux.register_reader(0xD1, refuse)
    scene.receive((b"\xd1", NEAR), (SEALED, NEAR), (b"\xd1", NEAR))
    assert scene.read == [(SEALED, NEAR)]
    assert scene.refused == {"malformed": 2}


class ChannelReader:
    """Takes channel data, in as many `bursts` as they were handed over in."""

    def __init__(self, demux: Demux) -> None:
        self.bursts: list[ChannelBuffers] = []
        demux.register_channel_reader(self.read)

    def read(self, buffers: ChannelBuffers, local: Address) -> None:
        assert local == LOCAL
        self.bursts.append(buffers)


CHANNEL = b"\x40\x01" + bytes(28)
LAST_CHANNEL = b"\x7f\xff" + bytes(18)


def test_channel_data_come_whole_to_their_reader() -> None:
    scene, one = Scene(), Owner()
    reader = ChannelReader(scene.demux)
    scene.demux.register_remote(FAR, one)
    joined, mixed = CHANNEL * 3 + LAST_CHANNEL, CHANNEL + RECORD + CHANNEL + SEALED + LAST_CHANNEL
    arrivals = [(CHANNEL, 30), (joined, 30), (mixed, 30), (CHANNEL, 0)]
    scene.demux.burst_received([(*one, ("::ffff:192.0.2.3", 2, 0, 0)) for one in arrivals], LOCAL)
    before_the_record = [*arrivals[:2], (CHANNEL, 30)]
    after_it = [(CHANNEL, 30), (LAST_CHANNEL, 20), (CHANNEL, 0)]
    assert reader.bursts == [
        [(*one, FAR) for one in before_the_record],
        [(*one, FAR) for one in after_it],
    ]
    assert one.taken == [RECORD]
    assert scene.read == [(SEALED, FAR)]
    with pytest.raises(AlreadyOwned):
        ChannelReader(scene.demux)


def test_channel_data_and_dtls_do_not_overtake_one_another() -> None:
    scene = Scene()
    reader = ChannelReader(scene.demux)
    seen: list[int] = []

    class Watching(Owner):
        def dtls_received(self, datagram: bytes) -> None:
            seen.append(len(reader.bursts))

    scene.demux.register_remote(NEAR, Watching())
    scene.receive((CHANNEL, NEAR), (HANDSHAKE, NEAR), (CHANNEL, FAR), (LAST_CHANNEL, NEAR))
    assert seen == [1]
    assert [len(burst) for burst in reader.bursts] == [1, 2]


def test_channel_data_without_a_reader_are_counted() -> None:
    scene = Scene()
    scene.receive((CHANNEL, NEAR), (LAST_CHANNEL, NEAR))
    scene.demux.burst_received([(CHANNEL * 2 + LAST_CHANNEL, 30, tuple(NEAR))], LOCAL)
    assert scene.refused == {"unknown_channel": 5}


first_bytes = st.sampled_from([0, 1, 3, 4, 19, 20, 22, 23, 63, 64, 0xCF, 0xD0, 0xFF])
datagrams = st.builds(
    lambda first, rest: bytes([first]) + rest, first_bytes, st.binary(max_size=60)
)


@given(st.lists(st.tuples(datagrams, st.sampled_from([NEAR, FAR])), max_size=20))
def test_every_datagram_is_owned_or_counted_and_nothing_raises(
    burst: list[tuple[bytes, Address]],
) -> None:
    scene, one = Scene(), Owner()
    scene.demux.register_remote(NEAR, one)
    scene.receive(*burst)
    owned: Counter[bytes] = Counter(datagram for datagram, _ in scene.read)
    for taken in one.taken:
        owned.update([buffer for buffer, _ in taken] if isinstance(taken, list) else [taken])  # type: ignore[list-item]
    assert owned.total() + sum(scene.refused.values()) == len(burst)
    assert owned <= Counter(datagram for datagram, _ in burst)


# Two links on one address --------------------------------------------------------------------

OPEN = replace(ATTEMPT, opened_at=7.0)
FOREIGN = replace(ATTEMPT, peer=b"another", began_at=9.0)


@pytest.mark.parametrize(
    ("holder", "rival", "gives_way"),
    [
        pytest.param(OPEN, replace(ATTEMPT, began_at=8.0), True, id="restarted peer"),
        pytest.param(
            replace(OPEN, rank=1), replace(ATTEMPT, began_at=8.0), True, id="its call, after ours"
        ),
        pytest.param(replace(OPEN, rank=1), replace(ATTEMPT, began_at=6.0), False, id="crossed"),
        pytest.param(OPEN, replace(ATTEMPT, rank=1, began_at=4.0), True, id="crossed, preferred"),
        pytest.param(ATTEMPT, replace(ATTEMPT, began_at=4.0), False, id="an earlier attempt"),
        pytest.param(ATTEMPT, replace(ATTEMPT, began_at=6.0), True, id="a later attempt"),
        pytest.param(OPEN, FOREIGN, False, id="another peer"),
        pytest.param(replace(OPEN, is_fresh=False), FOREIGN, True, id="another, consent in doubt"),
    ],
)
def test_the_stronger_claim_has_the_address(holder: Claim, rival: Claim, gives_way: bool) -> None:
    scene, one, other = Scene(), Owner(holder), Owner(rival)
    scene.demux.register_remote(NEAR, one)
    scene.receive((RECORD, NEAR))
    if gives_way:
        scene.demux.register_remote(NEAR, other)
    else:
        with pytest.raises(AlreadyOwned):
            scene.demux.register_remote(NEAR, other)
    scene.receive((HANDSHAKE, NEAR))
    assert (("lost", NEAR) in one.taken) is gives_way
    assert (HANDSHAKE in other.taken) is gives_way
    assert (HANDSHAKE in one.taken) is not gives_way


# Registering ------------------------------------------------------------------------------


def test_nothing_has_two_owners() -> None:
    scene, one, other = Scene(), Owner(), Owner()

    def register(owner: Owner, kind: str) -> None:
        if kind == "remote":
            scene.demux.register_remote(NEAR, owner)
        elif kind == "ufrag":
            scene.demux.register_ufrag("ours", owner)
        else:
            scene.demux.register_transactions(b"ours", owner)

    other.claims = replace(ATTEMPT, began_at=1.0)
    for kind in ("remote", "ufrag", "transaction"):
        register(one, kind)
        with pytest.raises(AlreadyOwned):
            register(other, kind)
        register(one, kind)  # its own stays its own
    scene.receive((HANDSHAKE, NEAR))
    assert one.taken == [HANDSHAKE]
    assert other.taken == []


@pytest.mark.parametrize("first_byte", [0, 3, 20, 63, 64, 127, SEALED[0]])
def test_a_first_byte_that_is_a_links_or_taken_has_no_second_reader(first_byte: int) -> None:
    with pytest.raises(AlreadyOwned):
        Scene().demux.register_reader(first_byte, lambda _datagram, _source: None)


def test_a_released_owner_hears_nothing_and_others_may_take_its_place() -> None:
    scene, one, other = Scene(), Owner(), Owner()
    check = message(stun.Class.REQUEST, "ours:theirs")
    answer = message(stun.Class.RESPONSE)
    scene.demux.register_remote(FAR, other)
    for owner in (one, other):
        scene.demux.register_remote(NEAR, owner)
        scene.demux.register_ufrag("ours", owner)
        scene.demux.register_transactions(answer.transaction_id[:4], owner)
        scene.demux.release(one)
    scene.receive((HANDSHAKE, NEAR), (HANDSHAKE, FAR), (bytes(check), NEAR), (bytes(answer), NEAR))
    assert one.taken == []
    assert len(other.taken) == 4
    assert scene.refused == {}


def test_registrations_are_bounded() -> None:
    demux, one = Demux(Counters(), RecentHosts()), Owner()
    for number in range(limits.ICE_UFRAGS):
        demux.register_ufrag(str(number), one)
    with pytest.raises(Overloaded):
        demux.register_ufrag("one more", one)
    for number in range(limits.STUN_OWNERS):
        demux.register_transactions(number.to_bytes(4), one)
    with pytest.raises(Overloaded):
        demux.register_transactions(b"more", one)
    for port in range(1, limits.LINK_ADDRESSES + 1):
        demux.register_remote(Address("192.0.2.9", port), one)
    with pytest.raises(Overloaded):
        demux.register_remote(NEAR, one)
    demux.register_remote(Address("192.0.2.9", 1), one)  # it has that one already
    demux.release(one)
    demux.register_remote(NEAR, one)


def test_a_buffer_is_handed_over_once_even_if_its_owner_raises() -> None:
    class Raising(Owner):
        def records_received(self, buffers: RecordBuffers) -> None:
            super().records_received(buffers)
            raise Malformed("a broken record")

    scene, raising, other = Scene(), Raising(), Owner()
    scene.demux.register_remote(NEAR, raising)
    scene.demux.register_remote(FAR, other)
    scene.receive((RECORD, NEAR), (HANDSHAKE, FAR), (HANDSHAKE, FAR))
    assert raising.taken == [[(RECORD, len(RECORD))]]
    assert other.taken == [HANDSHAKE]
    assert scene.refused == {"malformed": 1}


def test_a_buffer_without_a_size_is_one_datagram() -> None:
    scene, owner = Scene(), Owner()
    scene.demux.register_remote(NEAR, owner)
    scene.demux.burst_received([(RECORD, 0, tuple(NEAR))], LOCAL)
    assert owner.taken == [[(RECORD, 0)]]
    assert scene.counters.datagrams_received == 1
