"""SCTP: packets, chunks, and a whole association that takes any packets."""

import random

from protocol.sctp import chunks, limits
from protocol.sctp.association import Association
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.control import datachannel
from protocol.sctp.control.cookie import Cookie, Peer, open_cookie, seal_cookie
from protocol.sctp.packets import open_packet, seal
from protocol.sctp.pieces import Pieces, cut_chunk
from simulations.fuzzing.target import Target


def _associate(data: bytes) -> object:
    """The chunks in `data`, in packets that fit: each begins with its length in two bytes."""
    association = Association(AssociationConfig(Role.SERVER), random.Random(1))
    association.connect(0.0)
    now, place = 0.0, 0
    association.datagrams_to_send(now)
    while place + 2 <= len(data) and now < 1.0:
        length = int.from_bytes(data[place : place + 2]) % 1500
        packet = data[place + 2 : place + 2 + length]
        place, now = place + 2 + length, now + 0.01
        if len(packet) >= 8:
            association.receive(seal(packet[:8], packet[8:]), now)
        association.events()
        association.datagrams_to_send(now)
    timer_at = association.next_timer()
    if timer_at is not None:
        association.handle_timer(timer_at)
        association.datagrams_to_send(timer_at)
    return association.counters.total()


def _put_together(data: bytes) -> object:
    """The PIECE chunks in `data`, each after its length in two bytes."""
    pieces, place = Pieces(), 0
    joined = None
    while place + 2 <= len(data):
        length = int.from_bytes(data[place : place + 2])
        joined = pieces.add(data[place + 2 : place + 2 + length]) or joined
        assert pieces.held_bytes <= limits.PIECES_BYTES
        place += 2 + length
    return joined


def _association_seed() -> bytes:
    client = Association(AssociationConfig(Role.CLIENT), random.Random(2))
    server = Association(AssociationConfig(Role.SERVER), random.Random(1))
    server.connect(0.0)
    client.connect(0.0)
    client.open_channel("channel")
    taken: list[bytes] = []
    for step in range(6):
        now = step * 0.01
        for datagram in client.datagrams_to_send(now):
            taken.append(datagram[:8] + datagram[12:])
            server.receive(datagram, now)
        for datagram in server.datagrams_to_send(now):
            client.receive(datagram, now)
    return b"".join(len(one).to_bytes(2) + one for one in taken)


_COOKIE = seal_cookie(Cookie(1.5, 1, 2, Peer(3, 4, 5, 6, 7, True, False, True), 8, 9), b"secret")

SCTP_FORMS = {
    "sctp packet": Target(open_packet, (seal(b"12345678", chunks.encode_chunk(10)),)),
    "sctp chunks": Target(chunks.split_chunks, (chunks.encode_chunk(chunks.COOKIE_ACK),)),
    "sctp parameters": Target(
        chunks.split_parameters, (chunks.encode_parameters([(1, b"x"), (2, b"")]),)
    ),
    "sctp init": Target(chunks.decode_init, (bytes(16), bytes(15) + b"\1" * 9)),
    "sctp sack": Target(chunks.decode_sack, (chunks.encode_sack(5, 6, [2, 2, 9, 12], [1, 2])[4:],)),
    "sctp forward": Target(chunks.decode_forward_tsn, (bytes(12),)),
    "sctp shutdown": Target(chunks.decode_shutdown, (bytes(4),)),
    "sctp cookie": Target(
        lambda data: open_cookie(data, b"secret"),
        (_COOKIE,),
    ),
    "sctp piece": Target(
        _put_together,
        (
            b"".join(
                len(piece[4:]).to_bytes(2) + piece[4:]
                for piece in cut_chunk(chunks.encode_data(3, 7, 0, 0, 53, bytes(1200)), 500)
            ),
        ),
    ),
    "channel open": Target(
        datachannel.decode_open,
        (datachannel.encode_open(datachannel.ChannelTerms("label", "protocol", ordered=True)),),
    ),
    "association": Target(_associate, (_association_seed(),)),
}
