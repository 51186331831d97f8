"""MessagePack in one canonical, bounded form.

Values are lists, bytes, text, integers, booleans and None: no maps, no floats, no extension
types. So the shortest form of each value is its only form, and signed bytes have one spelling.
"""

from typing import Any

import msgpack

from protocol.errors import Malformed, NotCanonical, Oversized

_pack = msgpack.Packer(use_bin_type=True, strict_types=True).pack

NESTING_MAX = 8
"""Lists within lists: twice what our forms need, so that nothing that walks a value runs deep."""

_PLAIN = frozenset((int, bytes, str, bool, type(None)))


def encode(value: Any) -> bytes:
    """The canonical bytes of `value`, which must hold nothing but the form's types.

    That is not checked, as this runs for each datagram: readers refuse any other type.

    Raises OverflowError for integers beyond 64 bits, ValueError for text that is not Unicode.
    """
    return _pack(value)  # type: ignore[no-any-return]


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
    value = decode(data, max_bytes=max_bytes, max_items=max_items)
    # MessagePack's bounds let empty maps and extensions through, and it has none for floats.
    alien = _alien([value])
    if alien:
        raise Malformed(alien)
    if _pack(value) != data:
        raise NotCanonical("not the canonical spelling of its value")
    return value


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
