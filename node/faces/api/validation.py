"""JSON against the part of JSON Schema (2020-12) that the control API uses.

The same schemas stand in the OpenAPI document, so what is documented is what is enforced.
"""

from collections.abc import Callable, Mapping
from typing import Any

from node.faces.api.errors import BadRequest
from protocol.texts.characters import is_blank

Schema = Mapping[str, Any]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}

_REFERENCE = "#/components/schemas/"


def check(value: Any, schema: Schema, components: Mapping[str, Schema], where: str = "") -> None:
    """Raise BadRequest, naming the place, unless `value` matches `schema`."""
    if "$ref" in schema:
        schema = components[schema["$ref"].removeprefix(_REFERENCE)]
    _check_type(value, schema, where)
    _check_alternatives(value, schema, components, where)
    if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
        raise BadRequest(f"{_named(where)} is longer than {schema['maxLength']} characters")
    if isinstance(value, str) and "pattern" in schema and is_blank(value):
        raise BadRequest(f"{_named(where)} is empty; it is: {schema['description']}")
    if "enum" in schema and value not in schema["enum"]:
        raise BadRequest(f"{_named(where)} is none of {', '.join(schema['enum'])}")
    if isinstance(value, list):
        if len(value) > schema.get("maxItems", len(value)):
            raise BadRequest(f"{_named(where)} has more than {schema['maxItems']} items")
        for number, item in enumerate(value):
            check(item, schema.get("items", {}), components, f"{where}[{number}]")
    if isinstance(value, dict):
        _check_properties(value, schema, components, where)


def _named(where: str) -> str:
    """A place in the body, as the refusal names it."""
    return repr(where[:80]) if where else "the body"


def _check_type(value: Any, schema: Schema, where: str) -> None:
    wanted = schema.get("type")
    if wanted is None:
        return
    names = [wanted] if isinstance(wanted, str) else wanted
    if not any(_TYPES[name](value) for name in names):
        raise BadRequest(f"{_named(where)} must be of the type {' or '.join(names)}")


def _check_alternatives(
    value: Any, schema: Schema, components: Mapping[str, Schema], where: str
) -> None:
    if "oneOf" not in schema:
        return
    fitting = 0
    for alternative in schema["oneOf"]:
        try:
            check(value, alternative, components, where)
        except BadRequest:
            continue
        fitting += 1
    if fitting != 1:
        raise BadRequest(f"{_named(where)} must match one of {len(schema['oneOf'])} forms")


def _check_properties(
    value: dict[str, Any], schema: Schema, components: Mapping[str, Schema], where: str
) -> None:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            raise BadRequest(f"{_named(where)} lacks {name!r}")
    others = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            check(item, properties[name], components, f"{where}.{name}" if where else name)
        elif others is False:
            raise BadRequest(f"{_named(where)} has {name[:80]!r}, which this route does not take")
        elif others is not True:
            check(item, others, components, f"{where}.{name}" if where else name)
