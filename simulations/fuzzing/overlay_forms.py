"""What travels in the DHT's datagrams: the envelope, messages, contacts, records."""

from typing import Any

from protocol import addresses, codec, datagrams, records
from protocol.addresses import Address
from protocol.availability import Availability, build
from protocol.content.lineage import history
from protocol.content.lineage.body import LineageBody
from protocol.identity import Identity
from protocol.overlay import contacts, messages
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method
from protocol.overlay.registration_proof import check_registration_proof, make_registration_proof
from protocol.records import PeerBody, ProviderBody
from simulations.fuzzing.target import NOW_S, OURS, THEIRS, Target
from simulations.libraries.ciphers import RememberedAgreements

_CIPHER = RememberedAgreements()
_MOD = bytes(range(32))
_HERE = Address("1.2.3.4", 4001)
_FAR = Address("2a00::1", 4001)


def _request(method: Method, arguments: list[Any], token: bytes = b"") -> bytes:
    return messages.encode_request(
        bytes(8), method, epoch=bytes(8), counter=1, token=token, flags=0, arguments=arguments
    )


def _response(result: list[Any], code: Code = Code.OK) -> bytes:
    return messages.encode_response(bytes(8), code, token=bytes(8), observed=_HERE, result=result)


def _provider() -> records.Record:
    body = ProviderBody(_MOD, complete=True)
    return records.make(THEIRS, records.PROVIDER, body, now=NOW_S, sequence=1)


def _peer() -> records.Record:
    body = PeerBody((_HERE, _FAR), 1, (1, 1), 0)
    return records.make(THEIRS, records.PEER, body, now=NOW_S, sequence=1)


def _lineage() -> records.Record:
    body = LineageBody(_MOD, 2, bytes(48), bytes(32), ("https://a.example/b",))
    return records.make(THEIRS, records.LINEAGE, body, now=NOW_S, sequence=2)


_CONTACTS = tuple(
    Contact.at(Identity(bytes((number,)) * 32).public_key, address)
    for number, address in enumerate((_HERE, _FAR, Address("9.8.7.6", 5)), 1)
)
_FOUND = messages.encode_found(
    list(_CONTACTS),
    [_provider().raw],
    skip=0,
    registration_proof=make_registration_proof(THEIRS, OURS.peer_id, NOW_S),
    max_bytes=1000,
)


def _read_message(data: bytes) -> object:
    message = messages.decode_body(data)
    if isinstance(message, messages.Response):
        return messages.decode_found(message.result)
    return message


def _read_datagram(data: bytes) -> object:
    keys = _CIPHER.keys(OURS, datagrams.sender_of(data))
    return datagrams.unseal(_CIPHER, keys.incoming, data)


def _datagram() -> bytes:
    keys = _CIPHER.keys(THEIRS, OURS.public_key)
    return datagrams.seal(
        _CIPHER, THEIRS.public_key, keys.outgoing, bytes(24), _request(Method.PING, [])
    )


def _read_record(data: bytes) -> object:
    return records.read(data, key=_provider().key, now=NOW_S, puzzle_bits=0)


def _judge_lineage(data: bytes) -> object:
    key = _lineage().key
    record = records.read(data, key=key, now=NOW_S, puzzle_bits=0, may_be_expired=True)
    return history.judge(history.judge(None, _lineage()).seen, record)


def _read_availability(data: bytes) -> object:
    return Availability.decode(data).may_have(_MOD)


_HELLO = datagrams.hello(bytes(16))

OVERLAY_FORMS = {
    "codec": Target(
        lambda data: codec.decode(data, max_bytes=65536, max_items=1024),
        (codec.encode([1, b"x", "y", None, True, [-5, 2**63]]),),
    ),
    "canonical": Target(
        lambda data: codec.decode_canonical(data, max_bytes=65536, max_items=1024),
        (codec.encode([1, b"x", "y", None, True, [-5, 2**63]]),),
    ),
    "address": Target(
        addresses.unpack_address, (addresses.pack_address(_HERE), addresses.pack_address(_FAR))
    ),
    "contacts": Target(
        lambda data: [
            contact.is_valid(0)
            for contact in contacts.unpack_contacts(data[1:], 4 + 2 * (data[:1] > b"0"))
        ],
        (b"0" + _CONTACTS[0].packed, b"1" + _CONTACTS[1].packed),
    ),
    "message": Target(
        _read_message,
        (
            _request(Method.PING, []),
            _request(Method.FIND_VALUE, [bytes(20), 2, 0, 3], b"8 bytes!"),
            _response(_FOUND),
            _response([], Code.STORE_FULL),
        ),
    ),
    "datagram": Target(_read_datagram, (_datagram(),)),
    "hello": Target(lambda data: datagrams.answer_hello(OURS, data), (_HELLO,)),
    "hello reply": Target(datagrams.read_hello_reply, (datagrams.answer_hello(THEIRS, _HELLO),)),
    "registration": Target(
        lambda data: check_registration_proof(
            data, peer_id=THEIRS.peer_id, registrar_id=OURS.peer_id, now=NOW_S
        ),
        (make_registration_proof(THEIRS, OURS.peer_id, NOW_S),),
    ),
    "record": Target(_read_record, (_provider().raw, _peer().raw)),
    "peer body": Target(PeerBody.decode, (_peer().body.encode(),)),
    "provider body": Target(ProviderBody.decode, (_provider().body.encode(),)),
    "lineage body": Target(LineageBody.decode, (_lineage().body.encode(),)),
    "lineage record": Target(_judge_lineage, (_lineage().raw,)),
    "availability body": Target(_read_availability, (build([_MOD])[0].encode(),)),
}
