"""The node's DTLS certificate: kept in the home folder, so that its fingerprint outlives restarts.

P-256, because OpenSSL's DTLS as aiortc drives it refuses Ed25519. Peers verify it by its
fingerprint, which the identity signs in every offer and answer.
"""

import hashlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from node.disk.refusals import make_private
from node.environment import Environment
from node.files import PRIVATE_FILE, write_atomically
from node.machine.refusals import refused
from protocol.errors import LocalError

_log = logging.getLogger(__name__)

VALID_FOR = timedelta(days=365)
RENEWED_WITH_LEFT = timedelta(days=30)

_CLOCKS_MAY_DIFFER = timedelta(days=1)
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SURPLUS_BYTES = 16
_SERIAL_BITS = 159
_FILE_BYTES_MAX = 64 * 1024

_COMMON_NAME = "WebRTC"
"""As in browsers: DTLS 1.2 sends certificates in clear, and this name identifies no node."""


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate and its secret key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @cached_property
    def fingerprint(self) -> bytes:
        """SHA-256 of the certificate in DER, 32 bytes."""
        return hashlib.sha256(self.certificate.public_bytes(Encoding.DER)).digest()

    @property
    def not_after(self) -> datetime:
        """When it ends, in UTC."""
        return self.certificate.not_valid_after_utc


def create(environment: Environment) -> Certificate:
    """A fresh certificate. The same seed and the same time make the same one."""
    now = datetime.fromtimestamp(int(environment.wall()), UTC)
    key = _fresh_key(environment)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _COMMON_NAME)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(environment.rng.getrandbits(_SERIAL_BITS) | 1)
        .not_valid_before(now - _CLOCKS_MAY_DIFFER)
        .not_valid_after(now + VALID_FOR)
    )
    return Certificate(key, builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True))


def load_or_create(path: Path, environment: Environment) -> Certificate:
    """The certificate in this file, or a fresh one that is then stored there, mode 0600.

    One that is damaged or has less than RENEWED_WITH_LEFT to go is replaced. Blocks on the disk;
    raises DiskError if it cannot be read. One that cannot be stored is good for this run.
    """
    try:
        found = _load(path)
    except OSError as error:
        raise refused(error, f"cannot read the certificate {path}") from error
    now = datetime.fromtimestamp(environment.wall(), UTC)
    if found is not None and found.not_after - now >= RENEWED_WITH_LEFT:
        return found
    certificate = create(environment)
    try:
        write_atomically(path, _to_pem(certificate), PRIVATE_FILE)
    except LocalError as error:
        # Each offer names the fingerprint, so no peer remembers the certificate of another run.
        _log.warning("the certificate is good for this run alone: %s", error)
    return certificate


def _fresh_key(environment: Environment) -> ec.EllipticCurvePrivateKey:
    """A key drawn from the environment's randomness (FIPS 186-5, A.2.1: with surplus bits)."""
    drawn = environment.rng.randbytes(_P256_ORDER.bit_length() // 8 + _SURPLUS_BYTES)
    return ec.derive_private_key(int.from_bytes(drawn) % (_P256_ORDER - 1) + 1, ec.SECP256R1())


def _to_pem(certificate: Certificate) -> bytes:
    key = certificate.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key + certificate.certificate.public_bytes(Encoding.PEM)


def _load(path: Path) -> Certificate | None:
    """What the file holds; None if there is no file, or nothing usable in it."""
    try:
        with path.open("rb") as file:
            pem = file.read(_FILE_BYTES_MAX)
    except FileNotFoundError:
        return None
    try:
        key = load_pem_private_key(pem, password=None)
        certificate = x509.load_pem_x509_certificate(pem)
    except (ValueError, TypeError):
        _log.warning("the certificate %s is damaged and is made anew", path)
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        _log.warning("the certificate %s is not a P-256 one and is made anew", path)
        return None
    if key.public_key() != certificate.public_key():
        _log.warning("the certificate %s does not match its key and is made anew", path)
        return None
    make_private(path, PRIVATE_FILE)
    return Certificate(key, certificate)
