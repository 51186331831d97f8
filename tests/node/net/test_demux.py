"""Each datagram reaches exactly one owner, in order, or is counted once under one name."""

from collections import Counter

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from node.counters import Counters
from node.net.demux import Demux, RecordBuffers
from protocol import limits
from protocol.addresses import Address
from protocol.errors import AlreadyOwned, Malformed, Overloaded

LOCAL = Address("192.0.2.1", 4001)
NEAR, FAR = Address("192.0.2.2", 1), Address("192.0.2.3", 2)

RECORD = b"\x17" + bytes(29)
HANDSHAKE = b"\x16" + bytes(29)
SEALED = b"\xd0" + bytes(29)


class Owner:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.taken: list[object] = []

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        self.taken.append(("stun", message, source, local))

    def dtls_received(self, datagram: bytes) -> None:
        self.taken.append(datagram)

    def records_received(self, buffers: RecordBuffers) -> None:
        self.taken.append(buffers)


class Scene:
    """A demultiplexer, what it counts, and what the reader of SEALED has taken."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.demux = Demux(self.counters)
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
    scene.receive((SEALED, NEAR), (b"\x50hello", NEAR), (b"\xdf", NEAR), (b"", NEAR))
    assert scene.read == [(SEALED, NEAR)]
    assert scene.refused == {"unknown_first_byte": 2, "empty_datagram": 1}
    assert scene.counters.datagrams_received == 4
    assert scene.counters.bytes_received == len(SEALED) + 6 + 1


def test_a_stun_response_belongs_to_the_transaction_that_it_ends() -> None:
    scene, one, other = Scene(), Owner(), Owner()
    ours, foreign = message(stun.Class.RESPONSE), message(stun.Class.ERROR)
    scene.demux.expect_response(ours.transaction_id, one)
    scene.demux.expect_response(b"another one.", other)
    scene.receive((bytes(ours), NEAR), (bytes(foreign), NEAR))
    assert one.taken == [("stun", bytes(ours), NEAR, LOCAL)]
    assert other.taken == []
    assert scene.refused == {"unknown_stun_transaction": 1}
    scene.demux.forget_response(ours.transaction_id)
    scene.receive((bytes(ours), NEAR))
    assert len(one.taken) == 1
    assert scene.refused == {"unknown_stun_transaction": 2}


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


def test_a_request_without_username_is_for_the_owner_of_the_empty_ufrag() -> None:
    scene, server = Scene(), Owner()
    scene.demux.register_ufrag("", server)
    asked = message(stun.Class.REQUEST)
    scene.receive((bytes(asked), FAR))
    assert server.taken == [("stun", bytes(asked), FAR, LOCAL)]


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


# Registering ------------------------------------------------------------------------------


def test_nothing_has_two_owners() -> None:
    scene, one, other = Scene(), Owner(), Owner()

    def register(owner: Owner, kind: str) -> None:
        if kind == "remote":
            scene.demux.register_remote(NEAR, owner)
        elif kind == "ufrag":
            scene.demux.register_ufrag("ours", owner)
        else:
            scene.demux.expect_response(b"transaction.", owner)

    for kind in ("remote", "ufrag", "transaction"):
        register(one, kind)
        with pytest.raises(AlreadyOwned):
            register(other, kind)
        register(one, kind)  # its own stays its own
    scene.receive((HANDSHAKE, NEAR))
    assert one.taken == [HANDSHAKE]
    assert other.taken == []


@pytest.mark.parametrize("first_byte", [0, 3, 20, 63, SEALED[0]])
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
        scene.demux.expect_response(answer.transaction_id, owner)
        scene.demux.release(one)
    scene.receive((HANDSHAKE, NEAR), (HANDSHAKE, FAR), (bytes(check), NEAR), (bytes(answer), NEAR))
    assert one.taken == []
    assert len(other.taken) == 4
    assert scene.refused == {}


def test_registrations_are_bounded() -> None:
    demux, one = Demux(Counters()), Owner()
    for number in range(limits.ICE_UFRAGS):
        demux.register_ufrag(str(number), one)
    with pytest.raises(Overloaded):
        demux.register_ufrag("one more", one)
    for number in range(limits.STUN_TRANSACTIONS):
        demux.expect_response(number.to_bytes(12), one)
    with pytest.raises(Overloaded):
        demux.expect_response(b"one too many", one)
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
