"""The DTLS of our links as a foreign client sees it: OpenSSL's own program against our end.

What our end takes is found by offering everything that OpenSSL knows, noting what our end chose,
and offering the rest again until it refuses.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from node.environment import Environment
from node.links.secure import certificate
from scripts.auditing.page import Section, table
from scripts.auditing.programs import ROOT, NotRun, run

TITLE = "DTLS as a foreign client sees it"

_HANDSHAKE_S = 4.0
_ANY_LEVEL = "ALL:eNULL:@SECLEVEL=0"
_VERSIONS = {"DTLS 1.0": "-dtls1", "DTLS 1.2": "-dtls1_2"}
_OWN_GROUP = "P-256"
"""That of the certificates: a client that does not offer it is refused, so it is offered always."""

_GROUPS = ("X25519", "X448", "P-521", "P-384", "ffdhe2048", "ffdhe3072")
_GROUP_NAMES = {"prime256v1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_DIGESTS = ("SHA256", "SHA384", "SHA512", "SHA224", "SHA1")
_WEAK_CIPHERS = re.compile(r"^(?!.*(GCM|CCM|CHACHA20))|NULL|^A(ECDH|DH)|anon|PSK|^AES|^ARIA")
"""All but AEAD with an ephemeral key exchange and a certificate."""


Shake = Callable[..., str]
"""A handshake with options of `openssl s_client`: what that printed, empty if it was refused."""


def section() -> Section:
    """Versions, ciphers, groups, digests of signatures, and the certificate."""
    try:
        run(("openssl", "version"), _HANDSHAKE_S)
        with _our_end() as port, _own_certificate() as files:
            return _look(_client(port, files), _client(port, ()))
    except NotRun as reason:
        return Section(TITLE, "", missing=[str(reason)])


def _look(shake: Shake, shake_without_certificate: Shake) -> Section:
    versions = [name for name, option in _VERSIONS.items() if shake(option)]
    plain = shake("-dtls1_2")
    if not plain:
        return Section(TITLE, "", ["no handshake succeeds with DTLS 1.2"])
    ciphers = list(_chosen(shake, "-cipher", _all_ciphers(), _cipher, "@SECLEVEL=0"))
    groups = [*_chosen(shake, "-groups", _GROUPS, _group, _OWN_GROUP), _OWN_GROUP]
    digests = list(_chosen(shake, "-sigalgs", [f"ECDSA+{one}" for one in _DIGESTS], _digest))
    shown = _certificate_in(plain)
    without = shake_without_certificate("-dtls1_2")
    facts = (
        ("versions", ", ".join(versions)),
        ("ciphers", ", ".join(ciphers)),
        ("groups", ", ".join(groups)),
        ("signatures", ", ".join(digests)),
        ("a client without a certificate", "let in" if without else "refused"),
        ("compression", _after("Compression: ", plain) or "none"),
        ("secure renegotiation", "yes" if "Renegotiation IS supported" in plain else "no"),
        ("extended master secret", _after("Extended master secret: ", plain)),
        *_told_of(shown),
    )
    findings = [f"{one} is accepted" for one in versions if one == "DTLS 1.0"]
    findings += [f"the cipher {one} is accepted" for one in ciphers if _WEAK_CIPHERS.search(one)]
    findings += [f"signatures by {one} are made" for one in digests if one.endswith("SHA1")]
    if without:
        findings.append("a client without a certificate is let in")
    return Section(TITLE, table(("what", "seen"), facts), findings)


def _told_of(shown: x509.Certificate) -> Iterator[tuple[str, str]]:
    key = shown.public_key()
    kind = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
    days = (shown.not_valid_after_utc - shown.not_valid_before_utc).days
    yield "certificate: subject", shown.subject.rfc4514_string()
    yield "certificate: key", kind
    yield "certificate: signature", str(shown.signature_algorithm_oid._name)
    yield "certificate: valid for", f"{days} days"


def _certificate_in(printed: str) -> x509.Certificate:
    pem = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", printed, re.DOTALL)
    if pem is None:
        raise NotRun("`openssl s_client` shows no certificate")
    return x509.load_pem_x509_certificate(pem.group().encode())


# What is chosen -----------------------------------------------------------------------------


def _all_ciphers() -> list[str]:
    listed = run(("openssl", "ciphers", "-tls1_2", _ANY_LEVEL), _HANDSHAKE_S).stdout
    return [one for one in listed.strip().split(":") if not one.startswith("TLS_")]


def _chosen(
    shake: Shake, option: str, offered: Sequence[str], name: Callable[[str], str], *more: str
) -> Iterator[str]:
    """What our end takes of what is offered, in the order in which it prefers them."""
    left = list(offered)
    while left:
        chosen = name(shake("-dtls1_2", option, ":".join((*left, *more))))
        if chosen not in left:
            return
        left.remove(chosen)
        yield chosen


def _after(words: str, printed: str) -> str:
    _, found, rest = printed.partition(words)
    return rest.splitlines()[0].strip() if found else ""


def _cipher(printed: str) -> str:
    found = re.search(r"^New, .*Cipher is (\S+)", printed, re.MULTILINE)
    return found.group(1) if found else ""


def _group(printed: str) -> str:
    key = re.search(r"(?:Server|Peer) Temp Key: (?:ECDH, )?([\w-]+)", printed)
    name = key.group(1) if key else ""
    return _GROUP_NAMES.get(name, name)


def _digest(printed: str) -> str:
    return f"ECDSA+{_after('Peer signing digest: ', printed)}"


# Both ends ----------------------------------------------------------------------------------


def _client(port: int, files: Sequence[str]) -> Shake:
    def shake(*options: str) -> str:
        target = ("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *files)
        quiet = () if "-cipher" in options else ("-cipher", _ANY_LEVEL)
        try:
            ran = run((*target, *quiet, *options), _HANDSHAKE_S)
        except NotRun:
            return ""
        return "" if ran.returncode else ran.stdout

    return shake


@contextmanager
def _our_end() -> Iterator[int]:
    """Our DTLS on a port, in a process of its own: OpenSSL is of another make in each."""
    command = (sys.executable, "-m", "scripts.auditing.dtls_peer")
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line.strip().isdigit():
                raise NotRun("our own end did not start")
            yield int(line)
        finally:
            process.stdin.close()
            process.terminate()


@contextmanager
def _own_certificate() -> Iterator[tuple[str, ...]]:
    """A certificate for the client, which every peer of a link has, as options of s_client."""
    made = certificate.create(Environment())
    with tempfile.TemporaryDirectory(prefix="modswarm-audit-") as place:
        key, shown = Path(place) / "key.pem", Path(place) / "certificate.pem"
        key.write_bytes(made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        shown.write_bytes(made.certificate.public_bytes(Encoding.PEM))
        yield ("-cert", str(shown), "-key", str(key))
