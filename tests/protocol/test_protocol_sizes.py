"""The sizes that PROTOCOL.md gives are those that the code makes."""

import random
import re
from pathlib import Path
from typing import Any

import pytest
from nacl.bindings import (
    crypto_box_seal_open,
    crypto_box_SEALBYTES,
    crypto_scalarmult_base,
    sodium_unpad,
)

from protocol import datagrams, limits, records
from protocol.addresses import Address
from protocol.availability import build
from protocol.content.lineage.body import LineageBody
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.ice.candidates import CandidateKind
from protocol.identity import Identity, peer_id_text
from protocol.overlay import contacts, registration_proof
from protocol.overlay.messages import (
    REFUSAL_BYTES,
    Code,
    Method,
    encode_found,
    encode_pong,
    encode_request,
    encode_response,
)
from protocol.punching.token import PUNCH_TOKEN_BYTES
from protocol.records import PeerBody, ProviderBody
from protocol.signaling import AnswerStatus, make_answer, make_offer
from protocol.turn.client import TurnClient
from protocol.turn.grant import RelayGrant, RelayTerms, encode_grant
from tests.protocol.descriptions import largest_description

TEXT = (Path(__file__).parents[2] / "PROTOCOL.md").read_text(encoding="utf-8")
V4, V6 = Address("192.0.2.7", 4001), Address("2001:db8::7", 65535)
IDENTITY = Identity(bytes(32))
NOW = 1_790_000_000.0

GRANT = RelayGrant(
    f"9999999999:{peer_id_text(bytes(20))}",
    "p" * 22,
    "n" * 16,
    "modswarm",
    limits.RELAY_CREDENTIALS_S,
    RelayTerms(limits.RELAY_ALLOCATION_S, 2**40, 2**40, 2**53),
)

LARGEST: dict[Method, tuple[list[Any], list[Any]]] = {
    Method.PING: ([], encode_pong(2.0**40)),
    Method.FIND_NODE: ([bytes(20), 3], []),
    Method.FIND_VALUE: ([bytes(20), 3, limits.STORE_VALUES_PER_KEY, 3], []),
    Method.STORE: ([bytes(20), bytes(limits.RECORD_BYTES)], []),
    Method.REGISTER: (
        [bytes(limits.PEER_RECORD_BYTES), bytes(registration_proof.REGISTRATION_PROOF_BYTES)],
        [int(limits.REGISTRATION_S)],
    ),
    Method.KEEPALIVE: ([], [True]),
    Method.SIGNAL: (
        [bytes(20), bytes(limits.SIGNAL_BYTES), limits.ROUND_TRIP_MS_MAX],
        [bytes(limits.SIGNAL_BYTES)],
    ),
    Method.DELIVER: (
        [bytes(limits.SIGNAL_BYTES), limits.ROUND_TRIP_MS_MAX],
        [bytes(limits.SIGNAL_BYTES)],
    ),
    Method.MEET: ([], encode_pong(2.0**40)),
    Method.DIALBACK: (
        [bytes(limits.DIALBACK_RANDOM_BYTES), bytes(limits.HOST_FILTER_BYTES)],
        [bytes(18)],
    ),
    Method.DIAL: ([bytes(limits.DIALBACK_RANDOM_BYTES), bytes(18)], []),
    Method.CREDENTIALS: ([], encode_grant(GRANT)),
    Method.LEAVE: ([], []),
    Method.WITNESS: ([bytes(PUNCH_TOKEN_BYTES)], []),
    Method.WITNESSED: ([bytes(PUNCH_TOKEN_BYTES)], [[bytes(16)] * limits.WITNESSED_HOSTS]),
}
"""The largest arguments and results of each method."""


DIALBACK_LEAST = datagrams.DATAGRAM_OVERHEAD_BYTES + len(
    encode_request(
        bytes(8),
        Method.DIALBACK,
        epoch=bytes(8),
        counter=0,
        token=bytes(8),
        flags=0,
        arguments=[bytes(limits.DIALBACK_RANDOM_BYTES), b""],
    )
)
"""The shortest request that leads to a dial-back; a DIAL is longer by the address."""


def rows_of(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading of PROTOCOL.md."""
    section = TEXT[TEXT.index(heading) :]
    lines = section[section.index("\n|") + 1 :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def request(method: Method, arguments: list[Any], token: bytes) -> int:
    body = encode_request(
        bytes(8),
        method,
        epoch=bytes(8),
        counter=2**63 - 1,
        token=token,
        flags=1,
        arguments=arguments,
    )
    return len(body)


def response(method: Method, result: list[Any]) -> int:
    if method in {Method.FIND_NODE, Method.FIND_VALUE}:
        many = [contacts.Contact(bytes((n,)) * 38) for n in range(20)]
        proof = bytes(registration_proof.REGISTRATION_PROOF_BYTES)
        room = datagrams.DATAGRAM_BODY_BYTES
        sizes = [
            len(
                found_response(
                    encode_found(
                        many, [b"r" * size], skip=0, registration_proof=proof, max_bytes=room
                    )
                )
            )
            for size in range(1, limits.RECORD_BYTES)
        ]
        assert max(sizes) <= room
        return room
    return len(found_response(result))


def found_response(result: list[Any]) -> bytes:
    return encode_response(bytes(8), Code.OK, token=bytes(8), observed=V6, result=result)


def test_every_method_stands_in_the_table_with_its_sizes() -> None:
    given = {}
    for name, with_token, without, answered in rows_of("### 4.4 Sizes"):
        number, method = name.split()
        assert Method(int(number)).name == method
        given[Method[method]] = (int(with_token), int(without), int(answered))
    assert given == {
        method: (
            request(method, arguments, bytes(8)),
            request(method, arguments, b""),
            response(method, result),
        )
        for method, (arguments, result) in LARGEST.items()
    }
    assert max(map(max, given.values())) <= datagrams.DATAGRAM_BODY_BYTES


def test_every_method_and_code_is_described() -> None:
    methods = {row[0]: row for row in rows_of("## 4. DHT messages")}
    assert set(methods) == {f"{int(method)} {method.name}" for method in Method}
    section = TEXT[TEXT.index("| code | meaning |") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section]
    codes = [row[at] for row in cells for at in (0, 2) if row[at]]
    assert sorted(map(int, codes)) == sorted(Code)


@pytest.mark.parametrize(
    ("said", "size"),
    [
        (r"hello.*zeros to (\d+) bytes", len(datagrams.hello(bytes(16)))),
        (r"No DHT datagram of ours is longer than (\d+) bytes", limits.DATAGRAM_BYTES),
        (r"A body has (\d+) bytes", datagrams.DATAGRAM_BODY_BYTES),
        (r"none is shorter than (\d+)\.", REFUSAL_BYTES),
        (r"20 IPv4 contacts are (\d+) bytes", 20 * contacts.PACKED_BYTES[4]),
        (r"20 IPv6 ones (\d+)", 20 * contacts.PACKED_BYTES[6]),
        (r"a window of (\d+)\)", limits.REPLAY_WINDOW),
        (r"a period being (\d+) s", int(limits.TOKEN_PERIOD_S)),
        (r"at most\n?\s*(\d+): 20 IPv4", 64),
        (r"At most (\d+) addresses of a peer, told or", limits.ICE_ADDRESSES_LEARNED),
        (r"its checks, (\d+) pairs and 64 more", limits.ICE_PAIRS),
        (r"pairs and (\d+) more that checks", limits.ICE_PAIRS_LEARNED),
        (r"(\d+) of them are kept\. An agent", limits.ICE_CHECKS_EARLY),
        (r"transmissions to it \| (\d+),", limits.ICE_CHECKS_UNPROVED),
        (r"have not answered before \| (\d+) \(", limits.ICE_UNPROVED_BYTES),
        (r"of all links of a node \| (\d+) a minute", limits.ICE_CHECKS_PER_NETWORK),
        (r"unless configured \| (\d+) MB/s", limits.RELAY_BYTES_PER_SECOND // 10**6),
        (r"MB/s, (\d+) GB a day \|", limits.RELAY_BYTES_A_DAY // 10**9),
        (r"allocations: in all, of one peer \| (\d+), 2 \|", limits.RELAY_ALLOCATIONS),
        (r"of one peer \| \d+, (\d+) \|", limits.RELAY_ALLOCATIONS_PER_PEER),
        (r"random side opens (\d+) sockets", limits.BIRTHDAY_SOCKETS),
        (r"probes up to (\d+)", limits.BIRTHDAY_PROBES),
        (r"then pings (\d+) contacts of each family", limits.SIGHTINGS),
        (r"up to (\d+) are asked for: 3 that come", limits.DIALBACKS_MAX),
        (r"beyond (\d+) restarts of one link in a minute", limits.LINK_RESTARTS),
        (r"found no pair within (\d+) s", int(limits.LINK_RESTART_S)),
        (r"next round comes after (\d+) s", int(limits.VERDICT_RETRY_S)),
        (r"registers with (\d+) contacts \(REGISTER", limits.REGISTRARS),
        (r"(\d+) of them are nearest to its id", limits.REGISTRARS_NEAREST),
        (r"Every (\d+) min\s+it looks up its id and renews", limits.REGISTRARS_RENEWED_S / 60),
        (r"chance puts them there in less than (\d+) %", 100 * limits.SUSPICIOUS_CHANCE),
        (r"while it has heard the peer within (\d+) s", limits.REGISTERED_ALIVE_S),
        (r"It has room for (\d+) peers", limits.REGISTRATIONS),
        (r"at most (\d+), and none if the sender is open", limits.WITNESSES),
        (r"17 bytes, for two requests of (\d+) or more", DIALBACK_LEAST),
        (r"lead to it have (\d+) or more each", DIALBACK_LEAST),
    ],
)
def test_a_number_in_the_text_is_the_one_in_the_code(said: str, size: int) -> None:
    found = re.search(said.replace(" ", r"\s+"), TEXT)  # a sentence may be broken anywhere
    assert found is not None, said
    assert int(found[1]) == size


def test_records_have_the_sizes_given() -> None:
    largest = {
        "peer": records.make(
            IDENTITY,
            records.PEER,
            PeerBody((V6,) * 8, 0xFFFF, (1, 0xFFFF), 10),
            now=NOW,
            sequence=2**52,
        ),
        "provider": records.make(
            IDENTITY,
            records.PROVIDER,
            ProviderBody(bytes(32), complete=True),
            now=NOW,
            sequence=2**52,
        ),
        "availability": records.make(
            IDENTITY,
            records.AVAILABILITY,
            build([n.to_bytes(32) for n in range(limits.SHARD_CAPACITY)])[0],
            now=NOW,
            sequence=2**52,
        ),
        "lineage": records.make(
            IDENTITY,
            records.LINEAGE,
            LineageBody(
                *(bytes(32), limits.LINEAGE_VERSION_MAX, bytes(48), bytes(32)),
                ("o" * limits.ORIGIN_BYTES,) * limits.ORIGINS_NAMED,
            ),
            now=NOW,
            sequence=2**52,
        ),
    }
    bounds = {row[0].split()[1]: int(row[4].split()[0]) for row in rows_of("## 5. Records")}
    made = dict(re.findall(r"largest (\w+) record that is made has (\d+)\s+bytes", TEXT))
    assert made == {name: str(len(record.raw)) for name, record in largest.items()}
    assert all(len(record.raw) <= bounds[name] for name, record in largest.items())


_PADDED_BYTES = limits.SIGNAL_BYTES - crypto_box_SEALBYTES


def _opened(sealed: bytes) -> bytes:
    secret = IDENTITY.exchange_secret
    return crypto_box_seal_open(sealed, crypto_scalarmult_base(secret), secret)


def test_signals_fit_what_carries_them() -> None:
    largest = largest_description(V6)
    offer, sealed = make_offer(
        IDENTITY, IDENTITY.public_key, IDENTITY.peer_id, largest, now=NOW, rng=random.Random(1)
    )
    answer = make_answer(IDENTITY, offer, AnswerStatus.ACCEPTED, largest, rng=random.Random(1))
    sizes = re.search(r"at most (\d+) bytes \(offer\) and (\d+) \(answer\)", TEXT)
    assert sizes is not None
    bare = [len(sodium_unpad(_opened(one), _PADDED_BYTES)) for one in (sealed, answer)]
    assert [int(sizes[1]), int(sizes[2])] == [length + crypto_box_SEALBYTES for length in bare]
    padded = re.search(r"every sealed\s+signal has (\d+) bytes", TEXT)
    assert padded is not None
    assert int(padded[1]) == len(sealed) == len(answer) == limits.SIGNAL_BYTES


def test_a_usual_description_has_the_size_given() -> None:
    candidates = (IceCandidate(CandidateKind.HOST, V4),) * 2
    usual = Description("frag", "p" * 22, bytes(32), DtlsRole.ACTPASS, candidates)
    sizes = re.search(r"and nothing else it has (\d+) bytes", TEXT)
    assert sizes is not None
    assert int(sizes[1]) == len(usual.encode())


def test_a_full_description_has_the_size_given() -> None:
    sizes = re.search(r"with everything, (\d+); (\d+) is the bound", TEXT)
    assert sizes is not None
    assert int(sizes[1]) == len(largest_description(V6).encode())
    assert int(sizes[1]) <= int(sizes[2]) == limits.DESCRIPTION_BYTES


def test_the_longest_stun_request_has_the_size_given() -> None:
    grant = RelayGrant(*("x" * limits.RELAY_CREDENTIAL_BYTES,) * 4, 3600, GRANT.terms)
    client = TurnClient(grant, transaction_prefix=b"turn", rng=random.Random(1), now=0.0)
    (allocate,) = client.take_datagrams()
    said = re.search(r"an Allocate with credentials of 64 bytes each, has\s+(\d+)\.", TEXT)
    assert said is not None
    assert int(said[1]) == len(allocate) <= limits.DATAGRAM_BYTES
