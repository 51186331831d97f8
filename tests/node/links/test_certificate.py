"""The certificate file: made once, kept, renewed in time, and readable by its owner only."""

import os
import random
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from node.environment import Environment
from node.links.secure.certificate import create, load_or_create
from protocol.errors import DiskError

NOW = 1_800_000_000.0
DAY_S = 86_400.0


def environment(now: float = NOW, seed: int = 1) -> Environment:
    return Environment(wall=lambda: now, rng=random.Random(seed))


def test_a_fresh_certificate_is_a_p256_one_for_a_year() -> None:
    made = create(environment())
    assert isinstance(made.key.curve, ec.SECP256R1)
    assert made.certificate.public_key() == made.key.public_key()
    assert len(made.fingerprint) == 32
    lifetime = made.not_after - made.certificate.not_valid_before_utc
    assert lifetime == timedelta(days=366)
    assert made.not_after.timestamp() == NOW + 365 * DAY_S
    assert len(made.certificate.public_bytes(serialization.Encoding.DER)) < 400


def test_one_seed_makes_one_certificate() -> None:
    assert create(environment()).fingerprint == create(environment()).fingerprint
    assert create(environment(seed=2)).fingerprint != create(environment()).fingerprint


def test_it_persists_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    first = load_or_create(path, environment())
    again = load_or_create(path, environment(now=NOW + 300 * DAY_S, seed=2))
    assert again.fingerprint == first.fingerprint
    assert again.key.private_numbers() == first.key.private_numbers()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_its_owner_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    previous = os.umask(0)
    try:
        load_or_create(path, environment())
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    load_or_create(path, environment())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_is_renewed_when_less_than_a_month_is_left(tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    first = load_or_create(path, environment())
    just_enough = load_or_create(path, environment(now=NOW + 335 * DAY_S, seed=2))
    assert just_enough.fingerprint == first.fingerprint
    renewed = load_or_create(path, environment(now=NOW + 335 * DAY_S + 1, seed=2))
    assert renewed.fingerprint != first.fingerprint
    kept = load_or_create(path, environment(now=NOW + 340 * DAY_S, seed=3))
    assert kept.fingerprint == renewed.fingerprint


def _pem_of(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.mark.parametrize("damage", ["empty", "noise", "cut", "key_of_another", "ed25519", "p384"])
def test_a_damaged_file_is_replaced(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "certificate.pem"
    first = load_or_create(path, environment())
    pem = path.read_bytes()
    only_certificate = pem[pem.index(b"-----BEGIN CERTIFICATE") :]
    damaged = {
        "empty": b"",
        "noise": random.Random(1).randbytes(1000),
        "cut": pem[: len(pem) // 2],
        "key_of_another": _pem_of(create(environment(seed=9)).key) + only_certificate,
        "ed25519": _pem_of(ed25519.Ed25519PrivateKey.generate()) + only_certificate,
        "p384": _pem_of(ec.generate_private_key(ec.SECP384R1())) + only_certificate,
    }
    path.write_bytes(damaged[damage])
    second = load_or_create(path, environment(seed=2))
    assert second.fingerprint != first.fingerprint
    assert load_or_create(path, environment(seed=3)).fingerprint == second.fingerprint


def test_a_crash_before_the_rename_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "certificate.pem"
    first = load_or_create(path, environment())
    late = environment(now=NOW + 360 * DAY_S, seed=2)

    def crash(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", crash)
        assert load_or_create(path, late).fingerprint != first.fingerprint
    assert load_or_create(path, environment(seed=3)).fingerprint == first.fingerprint
    renewed = load_or_create(path, late)  # over the remains of the crash
    assert renewed.fingerprint != first.fingerprint
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DiskError, match="cannot read the certificate"):
        load_or_create(tmp_path / "folder", environment())
