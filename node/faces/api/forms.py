"""How a node's answers are written as JSON, and the JSON Schema of what is written: from one table.

Both are made from the type hints of the classes in `node.answers`, so that what is documented is
what is answered.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum, StrEnum
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, NewType, Union, get_args, get_origin, get_type_hints

from node.answers.dht import ContactView, CrawlView, LookupView, RecordsView, RecordView
from node.answers.downloads import DownloadView
from node.answers.marks import AsBase32, AsHex, AsPeerId, Decimals
from node.answers.mods import GetResult, ModOffer, ModView, ShareResult
from node.answers.network import NetworkReport
from node.answers.peers import LinkChangeView, LinkView, PathView, PeerView
from node.answers.rates import LimitsView
from node.answers.status import NodeIdentity, NodeStatus
from node.content.progress import Progress
from node.faces.api.validation import Schema
from node.links.failure import AttemptReport
from protocol.addresses import Address
from protocol.causes.tried import KnownSide
from protocol.content.link import LineageLink, ModLink
from protocol.identity import base32_text, peer_id_text

ApiDocument = NewType("ApiDocument", dict[str, Any])
"""The OpenAPI document, which is JSON already."""

COMPONENT_NAMES: dict[type, str] = {
    Progress: "Progress",
    NodeIdentity: "Identity",
    NodeStatus: "Status",
    ModView: "Mod",
    ShareResult: "SharedMod",
    ModOffer: "Offer",
    GetResult: "Download",
    LimitsView: "Limits",
    DownloadView: "QueuedDownload",
    PeerView: "Peer",
    ContactView: "DhtContact",
    LookupView: "DhtLookup",
    RecordView: "DhtRecord",
    RecordsView: "DhtRecords",
    CrawlView: "DhtCrawl",
    NetworkReport: "Network",
    KnownSide: "NetworkSide",
    AttemptReport: "Attempt",
    LinkView: "Link",
    LinkChangeView: "LinkChange",
    PathView: "Path",
}
"""Classes with a schema of their own in the OpenAPI document, by name."""


@dataclass(frozen=True, slots=True)
class Form:
    """The schema of a type, and the function that turns a value of it into JSON's types."""

    schema: Schema
    write: Callable[[Any], Any]


def to_json(answer: object) -> dict[str, Any]:
    """The JSON of a value of one of the classes in `node.answers`, or of a Progress."""
    kind: Any = type(answer)
    told: dict[str, Any] = _object(kind).write(answer)
    return told


def schema_of(kind: Any) -> Schema:
    """The schema of a class itself; classes within are references if they are components."""
    return _object(kind).schema


def ref(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def _same(value: Any) -> Any:
    return value


_PLAIN: dict[Any, Form] = {
    ApiDocument: Form({"type": "object", "required": ["openapi", "info", "paths"]}, _same),
    bool: Form({"type": "boolean"}, _same),
    int: Form({"type": "integer"}, _same),
    float: Form({"type": "number"}, _same),
    str: Form({"type": "string"}, _same),
    Address: Form({"type": "string"}, str),
    LineageLink: Form({"type": "string"}, str),
    ModLink: Form({"type": "string"}, str),
}

_MARKED: dict[type, Callable[[Any], Form]] = {
    AsPeerId: lambda _: Form({"type": "string"}, peer_id_text),
    AsBase32: lambda _: Form({"type": "string"}, base32_text),
    AsHex: lambda _: Form({"type": "string"}, bytes.hex),
    Decimals: lambda mark: Form({"type": "number"}, lambda value: round(value, mark.digits)),
}
"""By the type of the mark in `Annotated`."""


@cache
def form_of(hint: Any) -> Form:
    """The form of a type hint; raises TypeError for one that no answer may have.

    The schema of a class that is a component of the document is a reference to it.
    """
    if hint in _PLAIN:
        return _PLAIN[hint]
    if hint in COMPONENT_NAMES:
        return Form(ref(COMPONENT_NAMES[hint]), to_json)
    if is_dataclass(hint):
        return Form(schema_of(hint), to_json)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _names(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _MARKED[type(arguments[1])](arguments[1])
    if origin is tuple and arguments[1:] == (...,):
        return _list(form_of(arguments[0]))
    if origin is dict:
        return _counts(form_of(arguments[1]))
    if origin in (Union, UnionType):
        return _alternatives(arguments)
    raise TypeError(f"answers cannot hold {hint}")


def _names(kind: type[Enum]) -> Form:
    """The members of an enumeration: by their values where these are text, else by their names."""
    write = str if issubclass(kind, StrEnum) else lambda value: value.name.lower()
    return Form({"type": "string", "enum": [write(member) for member in kind]}, write)


def _list(item: Form) -> Form:
    return Form(
        {"type": "array", "items": item.schema}, lambda value: [item.write(one) for one in value]
    )


def _counts(item: Form) -> Form:
    return Form(
        {"type": "object", "additionalProperties": item.schema},
        lambda value: {str(key): item.write(one) for key, one in value.items()},
    )


def _alternatives(hints: Sequence[Any]) -> Form:
    """One type or null, or one of several classes."""
    rest = [hint for hint in hints if hint is not NoneType]
    if len(rest) > 1:
        return Form({"oneOf": [form_of(hint).schema for hint in rest]}, to_json)
    form = form_of(rest[0])
    return Form(_nullable(form.schema), lambda value: None if value is None else form.write(value))


def _nullable(schema: Schema) -> Schema:
    if schema.keys() == {"type"}:
        return {"type": [schema["type"], "null"]}
    return {"oneOf": [{"type": "null"}, schema]}


@cache
def _object(kind: Any) -> Form:
    hints = get_type_hints(kind, include_extras=True)
    forms = {field.name: form_of(hints[field.name]) for field in fields(kind)}
    described = _descriptions(kind)
    schema = {
        "type": "object",
        "description": inspect.cleandoc(kind.__doc__),
        "required": list(forms),
        "properties": {
            name: {**form.schema, **described.get(name, {})} for name, form in forms.items()
        },
    }
    return Form(
        schema,
        lambda value: {name: form.write(getattr(value, name)) for name, form in forms.items()},
    )


def _descriptions(kind: type) -> dict[str, Schema]:
    """The docstring below each field, which Python itself does not keep."""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except OSError:
        return {}  # an installation without sources
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    return {
        field.target.id: {"description": inspect.cleandoc(below.value.value)}
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
