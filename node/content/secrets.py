"""The secrets of homes, told by what they are, in whatever file they lie.

Those of this node are looked for as values: hexadecimal or raw, within other text, wrapped in other
lines, in PEM or DER. Those of other homes are told by the form in which a node writes them.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from node.content.vault.schema import FIRST_PAGE_BYTES, holds_schema
from node.home import holds_identity, identity_seed
from node.machine.control_file import read_control
from protocol.content.file_paths import quoted
from protocol.errors import UnsafePath

LOOKED_AT_BYTES = 2**16
"""Of each file: more than any file of secrets has, and so little that reading costs more."""

_KEY_BYTES = 32
_PEM_BLOCKS = 8
_BLANKS = b" \t\r\n"
_PEM = re.compile(rb"-----BEGIN ([A-Z ]{1,32})-----([A-Za-z0-9+/=\s]+)-----END")
_CERTIFICATE_NAME = b"WebRTC"
_CONTACTS = re.compile(rb'\s*\{"format": \d+, "contacts": \["[0-9a-f]{16}')
_EXPORTED = re.compile(rb"modswarm-lineage:\s*(?:[a-z2-7]{32,}\s*){2}", re.IGNORECASE)
"""As `LineageExport` spells it, in lines that mail broke or not."""
_SETTING = b"relay_secret"
_SECRET_SETTING = re.compile(rb"^" + _SETTING + rb"\s*=\s*[\"']", re.MULTILINE)


class Secrets:
    """What `check` refuses: the values of one node, as they were when this was made, and forms."""

    def __init__(self, home: Path) -> None:
        self._values = {value: what for value, what in _values_in(home) if value}

    def check(self, path: str, beginning: bytes) -> None:
        """Raise UnsafePath if a file that begins with `beginning` holds a secret of a node."""
        head = beginning[:LOOKED_AT_BYTES]
        what = self._value_in(head)
        if what is None:
            what = next((what for looks_like, what in _FORMS if looks_like(beginning)), None)
        if what is not None:
            raise UnsafePath(f"{quoted(path)} {what}, which must stay with its node")

    def check_anywhere(self, path: str, before: bytes, piece: bytes) -> None:
        """Raise UnsafePath if a piece of a file holds the index of a vault, or the end of one does.

        `before` are the last FIRST_PAGE_BYTES of the file before the piece, or what there is.
        """
        if holds_schema(piece) or holds_schema(before + piece[:FIRST_PAGE_BYTES]):
            raise UnsafePath(f"{quoted(path)} {_INDEX}, which must stay with its node")

    def _value_in(self, head: bytes) -> str | None:
        digits = head.translate(None, _BLANKS).lower()
        places = (head, *_decoded(head))
        for value, what in self._values.items():
            if value.hex().encode() in digits or any(value in place for place in places):
                return what
        return None


def _values_in(home: Path) -> Iterator[tuple[bytes, str]]:
    yield identity_seed(home) or b"", _IDENTITY
    yield _certificate_key(home) or b"", _CERTIFICATE
    control = read_control(home)
    try:
        yield bytes.fromhex(control[1] if control else ""), _CONTROL
    except ValueError:
        return  # another program wrote it: no node has this token


def _certificate_key(home: Path) -> bytes | None:
    try:
        key = load_pem_private_key((home / "certificate.pem").read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    return key.private_numbers().private_value.to_bytes(_KEY_BYTES, "big")


def _decoded(head: bytes) -> Iterator[bytes]:
    """The first PEM blocks, in DER."""
    for _, found in zip(range(_PEM_BLOCKS), _PEM.finditer(head), strict=False):
        try:
            yield base64.b64decode(found[2])
        except binascii.Error:
            continue


def _is_certificate(data: bytes) -> bool:
    if not data.startswith(b"-----BEGIN PRIVATE KEY-----"):
        return False
    return any(_CERTIFICATE_NAME in block for block in _decoded(data[:LOOKED_AT_BYTES]))


def _is_control(data: bytes) -> bool:
    begins = data[:LOOKED_AT_BYTES].lstrip().startswith(b'{"format"')
    return begins and b'"token"' in data and b'"address"' in data


def _is_contacts(data: bytes) -> bool:
    return _CONTACTS.match(data) is not None


def _is_exported(data: bytes) -> bool:
    return _EXPORTED.search(data[:LOOKED_AT_BYTES]) is not None


def _is_settings(data: bytes) -> bool:
    return (
        len(data) <= LOOKED_AT_BYTES
        and _SETTING in data  # which is found ten times faster than the pattern
        and _SECRET_SETTING.search(data) is not None
    )


_IDENTITY = "holds the identity of a node"
_CERTIFICATE = "holds the certificate of a node with its key"
_INDEX = "holds the index of a node's vault with its keys"
_CONTROL = "holds the token of a node's control API"

_FORMS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (holds_identity, _IDENTITY),
    (_is_certificate, _CERTIFICATE),
    (_is_control, _CONTROL),
    (_is_contacts, "holds the contacts of a node"),
    (_is_settings, "holds a relay's secret"),
    (_is_exported, "holds the keys of a mod that was exported"),
)
