"""The OpenAPI 3.1 document of the control API, made from the table of routes."""

from collections.abc import Sequence
from typing import Any

from node.faces.api import schemas
from node.faces.api.forms import ApiDocument, ref
from node.faces.api.routes import Route
from node.faces.api.validation import Schema

_INTRODUCTION = """\
The verbs of a running modswarm node, for programs of the same user on the same machine.

The address and the bearer token stand in `control.json` in the node's home folder. Requests with
an `Origin`, or with a `Host` that is no loopback name, are refused. Long work answers with lines of
JSON (`application/x-ndjson`): `{"progress"}` lines, then one `{"result"}` or `{"error"}`. It is
cancelled when its connection closes; chunks fetched until then stay in the vault, and asking again
goes on from there. `/v1/downloads/queue` fetches without a connection, and over restarts.
Error names are those of the project's error tree; where it is known why a peer is not reached,
`cause` names it and `advice` says what helps. While contacts say that the clock of this computer is
off, every answer has a header `Modswarm-Clock` that says by how much and what to do, as
`clock.sentence` in the answers to `/v1/status` and `/v1/network`."""


def document(routes: Sequence[Route], version: str) -> ApiDocument:
    """The whole document, JSON-ready."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "modswarm control API",
            "version": version,
            "description": _INTRODUCTION,
        },
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas.COMPONENTS,
        },
    }
    return ApiDocument(whole)


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.verb.__name__,
        "summary": (route.verb.__doc__ or "").strip().splitlines()[0],
        "responses": {"200": _answer(route), "default": _failure()},
    }
    parameters = [_parameter(name, "path", True, "") for name in route.path_parameters]
    parameters += [_parameter(name, "query", False, meaning) for name, meaning in route.query]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content = {"application/json": {"schema": route.body}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameter(name: str, place: str, required: bool, meaning: str) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": place, "required": required}
    if meaning:
        parameter["description"] = meaning
    return parameter | {"schema": {"type": "string"}}


def _answer(route: Route) -> dict[str, Any]:
    if route.handler is not None:
        return _content("The answer", "application/json", route.answer)
    return _content("One such line after another", "application/x-ndjson", line(route))


def line(route: Route) -> Schema:
    """The schema of a line in the answer of a route that streams."""
    result = {
        "type": "object",
        "required": ["result"],
        "properties": {"result": route.answer},
        "additionalProperties": False,
    }
    return {"oneOf": [ref("ProgressLine"), result, ref("Failure")]}


def _failure() -> dict[str, Any]:
    return _content("A refusal or a failure", "application/json", ref("Failure"))


def _content(description: str, media_type: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}
