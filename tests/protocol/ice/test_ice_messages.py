"""What checks and their answers are on the wire: PROTOCOL.md, 7.1."""

import json
import re
from pathlib import Path

import pytest

from protocol.addresses import Address
from protocol.ice.check_messages import (
    CHECK_BYTES,
    NOMINATION_BYTES,
    IncomingCheck,
    encode_answer,
    encode_check,
    encode_opener,
    encode_refusal,
    read_check,
)
from protocol.ice.settings import IceSettings
from protocol.stun.attributes import ErrorCode
from protocol.stun.message import decode_stun

ROOT = Path(__file__).parents[3]
TEXT = " ".join((ROOT / "PROTOCOL.md").read_text(encoding="utf-8").split())
VECTORS = {
    one["name"]: one
    for one in json.loads((ROOT / "tests" / "vectors" / "stun.json").read_text())["messages"]
}

TRANSACTION = bytes(range(12))
KEY = b"asecretoftwentytwochar"


def check(
    *,
    controlling: bool,
    nominates: bool,
    username: bytes = b"RFRAG:LFRAG",
    nomination: int = 0,
) -> bytes:
    return encode_check(
        TRANSACTION,
        username=username,
        priority=1862270975,
        controlling=controlling,
        tie_breaker=0x0102030405060708 if controlling else 0xFFFEFDFCFBFAF9F8,
        nominates=nominates,
        key=KEY,
        nomination=nomination,
    )


def test_golden_vectors() -> None:
    made = {
        "response to a check, IPv4": encode_answer(TRANSACTION, Address("203.0.113.9", 50000), KEY),
        "response to a check, IPv6": encode_answer(TRANSACTION, Address("2001:db8::9", 50000), KEY),
        "check of a controlled agent": check(controlling=False, nominates=False),
        "role conflict": encode_refusal(TRANSACTION, ErrorCode.ROLE_CONFLICT, KEY),
        "opener": encode_opener(TRANSACTION),
    }
    assert made == {name: bytes.fromhex(VECTORS[name]["bytes"]) for name in made}
    vector = bytes.fromhex(VECTORS["check of a controlling agent"]["bytes"])
    assert check(controlling=True, nominates=True) == vector
    name = "check of a controlling agent that numbers its nomination"
    numbered = check(controlling=True, nominates=True, nomination=0x102)
    assert numbered == bytes.fromhex(VECTORS[name]["bytes"])


@pytest.mark.parametrize("controlling", [True, False])
@pytest.mark.parametrize("nominates", [True, False])
def test_a_check_reads_as_it_was_written(controlling: bool, nominates: bool) -> None:
    """Only the controlling side nominates (RFC 8445, 7.1.2)."""
    data = check(controlling=controlling, nominates=nominates, nomination=7)
    tie_breaker = 0x0102030405060708 if controlling else 0xFFFEFDFCFBFAF9F8
    counts = nominates and controlling
    assert read_check(decode_stun(data)) == IncomingCheck(
        1862270975, controlling, tie_breaker, counts, 7 if counts else 0
    )


@pytest.mark.parametrize(
    ("said", "size"),
    [
        (
            r"FINGERPRINT: (\d+) bytes with fragments of 8",
            len(check(controlling=True, nominates=False, username=b"8letters:8letters")),
        ),
        (
            r"fragments of 8 characters, (\d+) if it nominates",
            len(
                check(controlling=True, nominates=True, username=b"8letters:8letters", nomination=1)
            ),
        ),
        (
            r"nominates; the answer has (\d+), or 76",
            len(encode_answer(TRANSACTION, Address("203.0.113.9", 50000), KEY)),
        ),
        (
            r"nominates; the answer has 64, or (\d+) over IPv6",
            len(encode_answer(TRANSACTION, Address("2001:db8::9", 50000), KEY)),
        ),
        (r"Binding indication of (\d+) bytes", len(encode_opener(TRANSACTION))),
        (r"One new check every (\d+) ms", 1000 * IceSettings().pacing_s),
        (r"The first wait is (\d+) ms", 1000 * IceSettings().rto_s),
        (r"known round trips within (\d+)\.\.500 ms", 1000 * IceSettings().rto_min_s),
        (r"after the last of (\d+) transmissions", IceSettings().transmissions),
        (r"waits (\d+) s from its start", IceSettings().patience_s),
        (r"A relayed pair waits (\d+) ms", 1000 * IceSettings().relay_delay_s),
        (r"or (\d+) of its own round trips", IceSettings().relay_delay_round_trips),
        (r"selected pair every (\d+) s \(times", IceSettings().consent_interval_s),
        (r"round trips and (\d+) ms at least", 1000 * IceSettings().moved_wait_s),
    ],
)
def test_a_figure_in_the_text_is_the_one_in_the_code(said: str, size: float) -> None:
    found = re.search(said, TEXT)
    assert found is not None, said
    assert int(found[1]) == size


def test_the_bytes_that_a_check_is_counted_for_are_those_that_it_has() -> None:
    username = b"8letters:8letters..."
    data = check(controlling=True, nominates=True, username=username)
    assert len(data) == CHECK_BYTES + len(username)
    numbered = check(controlling=True, nominates=True, username=username, nomination=2**32 - 1)
    assert len(numbered) == len(data) + NOMINATION_BYTES
