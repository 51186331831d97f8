"""The audit tells what it found from what it could not look at, and looks at the real thing."""

import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from node.environment import Environment
from node.links.secure.certificate import create
from scripts.auditing import advisories, attackers, dtls, fresh_node, programs
from scripts.auditing.page import Page, Section, table
from scripts.auditing.programs import NotRun
from tests.identities import give_identities

ROOT = Path(__file__).parents[2]

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and sockets differ there")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


def test_the_page_tells_what_was_found_and_what_was_not_looked_at() -> None:
    harmless = [Section("One", "body"), Section("Two", "", missing=["no | source"])]
    assert not Page("2026-11-27", [], harmless).found
    sections = [*harmless, Section("Three", "more", ["a hole"], ["half of it"])]
    page = Page("2026-11-27", [("modswarm", "0.1.0")], sections)
    assert page.found
    text = page.markdown()
    assert text.startswith("# Audit of 2026-11-27\n")
    for line in (
        "| One | nothing found |",
        "| Two | not all looked at |",
        "| Three | **1 found** |",
    ):
        assert line in text
    assert "Found:\n\n- a hole" in text
    assert "Not looked at:\n\n- no | source" in text
    assert table(("a",), [("x|y\nz",)]) == "| a |\n|---|\n| x\\|y z |"


# Advisories -------------------------------------------------------------------------------

SKIPPED = {"name": "aiortc", "skip_reason": "not found: aiortc"}
KNOWN: dict[str, Any] = {
    "name": "aiohttp",
    "version": "3.0.0",
    "vulns": [{"id": "GHSA-1", "fix_versions": ["3.0.1"]}, {"id": "GHSA-2", "fix_versions": []}],
}


def test_a_source_that_knows_nothing_is_no_clean_bill() -> None:
    asked: list[str] = []

    def ask(service: str) -> Any:
        asked.append(service)
        if service == "pypi":
            raise NotRun("no way there")
        return {"dependencies": [SKIPPED]}

    told = advisories.section(ask)
    assert asked == ["pypi", "osv"]
    assert told.outcome == "not all looked at"
    assert "no way there" in told.missing[0]
    assert "answers for none" in told.missing[1]


def test_advisories_are_findings_and_unknown_packages_are_told() -> None:
    told = advisories.section(lambda _: {"dependencies": [SKIPPED, KNOWN]})
    assert list(told.findings) == [
        "aiohttp 3.0.0: GHSA-1, mended in 3.0.1",
        "aiohttp 3.0.0: GHSA-2, mended in no version yet",
    ]
    assert list(told.missing) == ["not found: aiortc"]


def test_everything_that_reads_from_the_network_is_listed() -> None:
    names = {name for name, _ in advisories.versions()}
    assert {"aiortc", "aioice", "pynacl", "msgpack", "aiohttp", "yarl", "backports.zstd"} <= names
    assert {"pytest", "matplotlib", "pip"}.isdisjoint(names)


# DTLS -------------------------------------------------------------------------------------


@needs_openssl
def test_a_foreign_client_sees_our_dtls() -> None:
    told = dtls.section()
    assert (told.findings, told.missing) == ([], ())
    for line in (
        "| versions | DTLS 1.2 |",
        "| a client without a certificate | refused |",
        "| certificate: key | secp256r1 |",
        "| certificate: subject | CN=WebRTC |",
    ):
        assert line in told.body
    assert "| ciphers | ECDHE-ECDSA-CHACHA20-POLY1305, ECDHE-ECDSA-AES128-GCM-SHA256 |" in told.body
    assert "X25519" in told.body


@needs_openssl
def test_weak_dtls_is_found() -> None:
    shown = (
        "New, TLSv1.0, Cipher is ECDHE-ECDSA-NULL-SHA\nServer Temp Key: X25519, 253 bits\n"
        "Peer signing digest: SHA1\n"
    )
    pem = create(Environment()).certificate.public_bytes(Encoding.PEM).decode()
    told = dtls._look(lambda *_: shown + pem, lambda *_: shown)
    assert set(told.findings) == {
        "DTLS 1.0 is accepted",
        "the cipher ECDHE-ECDSA-NULL-SHA is accepted",
        "signatures by ECDSA+SHA1 are made",
        "a client without a certificate is let in",
    }


def test_without_openssl_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert list(dtls.section().missing) == ["`openssl` is not installed"]


# A fresh node -----------------------------------------------------------------------------


def give(homes: Iterable[Path], _: Callable[[int], None]) -> None:
    give_identities(homes)
    for home in homes:
        (home / "identity.key").chmod(0o600)


@posix
def test_a_fresh_node_opens_one_port_and_keeps_its_secrets() -> None:
    told = fresh_node.section(give)
    assert (list(told.findings), told.missing) == ([], ())
    assert told.body.count("| TCP | 127.0.0.1 |") == 1
    assert told.body.count("| UDP |") == told.body.count("| TCP | 0.0.0.0 |") == 1
    assert "| identity.key | 0600 |" in told.body
    assert "| . | 0700 |" in told.body


@posix
def test_modes_and_ports_that_are_too_open_are_found() -> None:
    modes = [(".", 0o755), ("identity.key", 0o640), ("format.json", 0o644), ("vault", 0o702)]
    assert fresh_node.too_open(modes) == [
        "other users may read .: mode 0755",
        "other users may read identity.key: mode 0640",
        "other users may write vault: mode 0702",
    ]
    ports = [("TCP", "127.0.0.1", 1), ("TCP", "::1", 2), ("UDP", "0.0.0.0", 3)]
    assert fresh_node.open_to_others(ports) == []
    streams = [*ports, ("TCP", "0.0.0.0", 3)]
    assert fresh_node.open_to_others(streams) == []
    assert fresh_node.open_to_others([*streams, ("TCP", "0.0.0.0", 4)]) == [
        "a TCP port is open to other machines: 0.0.0.0 4"
    ]


# Attackers, costs, fuzzing ----------------------------------------------------------------

ATTACKERS: dict[str, Any] = {
    "attackers": {
        "test_a.py::test_holds": {"outcome": "held", "alone_s": 1.5, "memory_MB": 7.5},
        "test_a.py::test_breaks": {"outcome": "FAILED", "why": "assert False"},
        "test_a.py::test_cannot_run": {"outcome": "skipped", "why": "no nft here"},
    },
    "most": {"memory_MB": {"test_a.py::test_holds": 7.5}},
    "failed": ["test_a.py::test_breaks"],
}


def test_attackers_are_listed_with_outcomes_and_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"import json; print(json.dumps({ATTACKERS}))"
    monkeypatch.setattr(programs, "COSTS", (sys.executable, "-c", code))
    told = attackers.section()
    assert "1 FAILED, 1 held, 1 skipped." in told.body
    assert "| memory_MB | test_a.py::test_holds | 7.5 |" in told.body
    assert "| test_a.py::test_holds | held | alone_s 1.5; memory_MB 7.5 |" in told.body
    assert told.findings == ["test_a.py::test_breaks fails"]
    assert told.missing == ["test_a.py::test_cannot_run: no nft here"]


def test_attackers_that_cannot_be_collected_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for code, limit_s, words in (
        ("print('{\"attackers\": {}}')", 60.0, "there are no tests"),
        ("raise SystemExit('pytest ended with status 3')", 60.0, "pytest ended with status 3"),
        ("while True: pass", 0.01, "took longer"),
    ):
        monkeypatch.setattr(programs, "COSTS", (sys.executable, "-c", code))
        (why,) = attackers.section(limit_s).missing
        assert words in why


def test_costs_are_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        'print(\'{"forms": [{"form": "Ping", "bytes_in": 40}], "core": 0.01}\')',
        "import sys; sys.exit('no benchmark of this name')",
    )
    for code, body, missing in (
        (program[0], "forms:\n\n| form | bytes_in |\n|---|---|\n| Ping | 40 |\n\ncore: 0.01", []),
        (
            program[1],
            "",
            [
                "`./scripts/bench attack`: it ended with status 1: no benchmark of this name",
            ],
        ),
    ):
        monkeypatch.setattr(programs, "COSTS", (sys.executable, "-c", code))
        told = programs.costs()
        assert (told.body, list(told.missing)) == (body, missing)
    code = 'print(\'{"exceed": ["open"]}\')'
    monkeypatch.setattr(programs, "COSTS", (sys.executable, "-c", code))
    assert programs.costs().findings == ["open costs more than the bounds allow"]


def test_what_fuzzing_found_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import json, sys; print(json.dumps({'decoders': {'seconds': 1, 'found': ['x: KeyError']},"
        "'node': {'seconds': 1, 'found': []}})); sys.exit(1)"
    )
    monkeypatch.setattr(programs, "FUZZ", (sys.executable, "-c", code))
    told = programs.fuzzing(2)
    assert told.findings == ["decoders: x: KeyError"]
    assert "| node | 1 |" in told.body
    monkeypatch.setattr(programs, "FUZZ", (sys.executable, "-c", "import no_such_atheris"))
    assert "no_such_atheris" in programs.fuzzing(2).missing[0]
