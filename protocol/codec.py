"""MessagePack in one canonical, bounded form.

Values are lists, bytes, text, integers, booleans and None: no maps, no floats, no extension
types. So the shortest form of each value is its only form, and signed bytes have one spelling.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import msgpack

from protocol.errors import Malformed, NotCanonical, Oversized

_pack = msgpack.Packer(use_bin_type=True, strict_types=True).pack

_LONG_BYTES = 4096
"""A longer value is not spelled as a whole to be compared: `_pack` would keep a buffer as long."""

_READ_BYTES = 2**16

NESTING_MAX = 8
"""Lists within lists: twice what our forms need, so that nothing that walks a value runs deep."""

_INTEGERS = {0xCC: (1, 1 << 7), 0xCD: (2, 1 << 8), 0xCE: (4, 1 << 16), 0xCF: (8, 1 << 32)}
_BYTES = {0xC4: (1, 0), 0xC5: (2, 1 << 8), 0xC6: (4, 1 << 16)}
"""By the first byte of an integer or bytes (MessagePack's uint 8 to 64, bin 8 to 32): the bytes of
the number that follows, and the least one that has no shorter form."""

_PLAIN = frozenset((int, bytes, str, bool, type(None)))


def encode(value: Any) -> bytes:
    """The canonical bytes of `value`, which must hold nothing but the form's types.

    That is not checked, as this runs for each datagram: readers refuse any other type.

    Raises OverflowError for integers beyond 64 bits, ValueError for text that is not Unicode.
    """
    return _pack(value)  # type: ignore[no-any-return]


def encode_long(values: Sequence[Any]) -> bytes:
    """`encode` of a list with long bytes among its values: these are copied but once."""
    return b"".join(_spelled(values))


def _spelled(values: Sequence[Any]) -> Iterator[bytes]:
    """The canonical bytes of a list, in parts; bytes among its values are parts themselves."""
    yield _list_head(len(values))
    for value in values:
        if type(value) is bytes:
            yield _bytes_head(len(value))
            yield value
        else:
            yield _pack(value)


def decode(data: bytes, *, max_bytes: int, max_items: int) -> Any:
    """Read exactly one value from `data`.

    `max_items` bounds each list before it is allocated. Raises Oversized or Malformed. The caller
    checks the shape with exact types, and so refuses what this lets through: floats, empty maps.
    """
    if len(data) > max_bytes:
        raise Oversized(f"{len(data)} bytes where at most {max_bytes} are allowed")
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            # Each item takes a byte at least: a short text may not reserve a long list.
            max_array_len=min(max_items, len(data)),
            max_map_len=0,
            max_ext_len=0,
            max_str_len=len(data),
            max_bin_len=len(data),
        )
    except (ValueError, RecursionError, OverflowError) as error:
        raise Malformed(f"not a MessagePack value: {type(error).__name__}") from None


def _alien(items: list[Any], nesting: int = 0) -> str:
    """What the form does not hold and `items` do; empty if there is no such thing."""
    for item in items:
        if type(item) not in _PLAIN:
            if type(item) is not list:
                return f"{type(item).__name__} is not in the canonical form"
            if nesting == NESTING_MAX:
                return f"lists nested more than {NESTING_MAX} deep"
            alien = _alien(item, nesting + 1)
            if alien:
                return alien
    return ""


def decode_canonical(data: bytes, *, max_bytes: int, max_items: int) -> Any:
    """Like `decode`, and refuse any other spelling of the same value (NotCanonical).

    Raises Malformed.
    """
    if _LONG_BYTES <= len(data) <= max_bytes:
        values = _read_plain(data, max_items)
        if values is not None:
            return values
    value = decode(data, max_bytes=max_bytes, max_items=max_items)
    # MessagePack's bounds let empty maps and extensions through, and it has none for floats.
    alien = _alien([value])
    if alien:
        raise Malformed(alien)
    if not _is_canonical(value, data):
        raise NotCanonical("not the canonical spelling of its value")
    return value


def _read_plain(data: bytes, max_items: int) -> list[Any] | None:
    """The list of natural numbers and bytes of which `data` is the canonical spelling.

    So a long one, such as a piece of a chunk, is copied once and not spelled again to be compared.
    None for any other bytes, which the usual way judges.
    """
    count = data[0] - 0x90
    if not 0 <= count <= min(max_items, 15):
        return None
    values: list[Any] = []
    at, end = 1, len(data)
    for _ in range(count):
        if at >= end:
            return None
        head = data[at]
        at += 1
        if head < 0x80:
            values.append(head)
            continue
        is_bytes = head in _BYTES
        size, least = _BYTES[head] if is_bytes else _INTEGERS.get(head, (0, 1))
        number = int.from_bytes(data[at : at + size])
        at += size
        if number < least:
            return None
        if is_bytes:
            values.append(data[at : at + number])
            at += number
        else:
            values.append(number)
    return values if at == end else None


def _is_canonical(value: Any, data: bytes) -> bool:
    """Whether `data`, of which `value` was read, is its canonical spelling."""
    if len(data) < _LONG_BYTES or type(value) is not list:
        return bool(_pack(value) == data)
    at = 0
    for part in _spelled(value):
        if not data.startswith(part, at):
            return False
        at += len(part)
    return at == len(data)


class Readable(Protocol):
    """Bytes that come piece by piece."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`; empty at the end."""


_TEXT_SHORT = 1 << 5
"""Below this length a text has its length in its first byte; bytes never have."""


class FieldReader:
    """Reads one canonical list, field by field, from bytes that are never in memory as a whole.

    Each method raises Malformed (Oversized for lists) if the next field is something else, or not
    in its shortest form.
    """

    def __init__(self, source: Readable, *, fields: int, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._unpacker = msgpack.Unpacker(
            source,
            raw=False,
            read_size=min(_READ_BYTES, max_bytes),
            max_buffer_size=max_bytes,
            max_array_len=0,
            max_map_len=0,
            max_ext_len=0,
            max_str_len=max_bytes,
            max_bin_len=max_bytes,
        )
        if self._length(fields) != fields:
            raise Malformed("a list of the wrong shape")

    def text(self) -> str:
        """A text."""
        before = self._unpacker.tell()
        value = self._read(self._unpacker.unpack)
        if type(value) is not str:
            raise Malformed(f"{type(value).__name__} where text is needed")
        self._check_head(before, len(value.encode()), _TEXT_SHORT)
        return value

    def number(self) -> int:
        """A whole number."""
        before = self._unpacker.tell()
        value = self._read(self._unpacker.unpack)
        if type(value) is not int:
            raise Malformed(f"{type(value).__name__} where a number is needed")
        if self._unpacker.tell() - before != len(encode(value)):
            raise NotCanonical("not the canonical spelling of its value")
        return value

    def bytes(self) -> bytes:
        """Bytes."""
        before = self._unpacker.tell()
        value = self._read(self._unpacker.unpack)
        if type(value) is not bytes:
            raise Malformed(f"{type(value).__name__} where bytes are needed")
        self._check_head(before, len(value), 0)
        return value

    def texts(self, max_items: int) -> list[str]:
        """A list of texts."""
        return [self.text() for _ in range(self._length(max_items))]

    def end(self) -> None:
        """Nothing may follow."""
        if self._read(lambda: self._unpacker.read_bytes(1)):
            raise Malformed("more bytes than the list has")

    def _length(self, most: int) -> int:
        before = self._unpacker.tell()
        length: int = self._read(self._unpacker.read_array_header)
        if length > most:
            raise Oversized(f"{length} items where at most {most} are allowed")
        if self._unpacker.tell() - before != _head_bytes(length, 1 << 4, 1 << 4):
            raise NotCanonical("not the canonical spelling of a list")
        return length

    def _check_head(self, before: int, size: int, short: int) -> None:
        if self._unpacker.tell() - before != _head_bytes(size, short, 1 << 8) + size:
            raise NotCanonical("not the canonical spelling of its value")

    def _read(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (msgpack.UnpackException, ValueError, RecursionError, OverflowError) as error:
            raise Malformed(f"not a MessagePack value: {type(error).__name__}") from None


def _list_head(length: int) -> bytes:
    """What stands before so many values (MessagePack's fixarray, array 16 and array 32)."""
    if length < 1 << 4:
        return (0x90 + length).to_bytes()
    return b"\xdc" + length.to_bytes(2) if length < 1 << 16 else b"\xdd" + length.to_bytes(4)


def _bytes_head(length: int) -> bytes:
    """What stands before so many bytes (MessagePack's bin 8, bin 16 and bin 32)."""
    if length < 1 << 8:
        return b"\xc4" + length.to_bytes()
    return b"\xc5" + length.to_bytes(2) if length < 1 << 16 else b"\xc6" + length.to_bytes(4)


def _head_bytes(length: int, short: int, medium: int) -> int:
    """The bytes before a text, bytes or a list of this length, in the shortest form."""
    if length < short:
        return 1
    if length < medium:
        return 2
    return 3 if length < 1 << 16 else 5


def shape(value: Any, *kinds: type) -> list[Any]:
    """`value` as a list whose items have exactly these types, else Malformed.

    bool is not an int here, and a subclass is not its parent.
    """
    if type(value) is not list or len(value) != len(kinds):
        raise Malformed("a list of the wrong shape")
    if tuple(map(type, value)) != kinds:
        wrong = next(
            pair for pair in zip(value, kinds, strict=True) if type(pair[0]) is not pair[1]
        )
        raise Malformed(f"{type(wrong[0]).__name__} where {wrong[1].__name__} is needed")
    return value


def list_of(value: Any, kind: type, *, max_items: int) -> list[Any]:
    """`value` as a list of at most `max_items` items of exactly type `kind`.

    Raises Malformed, and Oversized for more items.
    """
    if type(value) is not list:
        raise Malformed(f"{type(value).__name__} where a list is needed")
    if len(value) > max_items:
        raise Oversized(f"{len(value)} items where at most {max_items} are allowed")
    for item in value:
        if type(item) is not kind:
            raise Malformed(f"{type(item).__name__} where {kind.__name__} is needed")
    return value


def sized(value: bytes, length: int) -> bytes:
    """`value` if it has exactly `length` bytes, else Malformed."""
    if len(value) != length:
        raise Malformed(f"{len(value)} bytes where {length} are needed")
    return value


def ranged(value: int, low: int, high: int) -> int:
    """`value` if low <= value <= high, else Malformed."""
    if not low <= value <= high:
        raise Malformed(f"{value} is outside {low}..{high}")
    return value
