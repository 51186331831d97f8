"""The shapes of what goes into the control API and comes out of it, as JSON Schema.

Requests refuse what they do not name. Answers may grow: clients pass over fields that they do not
know.
"""

from dataclasses import fields
from typing import Any

from node.content.progress import Progress
from node.faces.api.validation import Schema
from protocol import limits

STRING = {"type": "string"}
BOOLEAN = {"type": "boolean"}
COUNT = {"type": "integer"}
NUMBER = {"type": "number"}
TEXTS = {"type": "array", "items": STRING}
COUNTS = {"type": "object", "additionalProperties": COUNT}

_PATH_CHARS = 4096


def ref(name: str) -> Schema:
    """A reference to one of COMPONENTS."""
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": [schema["type"], "null"]}


def _bounded(characters: int, description: str) -> dict[str, Any]:
    return {"type": "string", "maxLength": characters, "description": description}


def answer(**properties: Schema) -> Schema:
    """An object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def listing(name: str, item: str) -> Schema:
    """An object with one list under `name`."""
    return answer(**{name: {"type": "array", "items": ref(item)}})


def _request(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "required": list(required),
        "properties": required | (optional or {}),
        "additionalProperties": False,
    }


_FIELD_TYPES = {str: STRING, int: COUNT, "str": STRING, "int": COUNT}

_PROGRESS = answer(**{field.name: _FIELD_TYPES[field.type] for field in fields(Progress)})

_DETAILS = answer(stage=STRING, reason=STRING, tried=TEXTS)
"""How far a link came that failed, why it failed, and what was tried."""

_ERROR: Schema = {
    "type": "object",
    "required": ["name", "message"],
    "properties": {"name": STRING, "message": STRING, "details": _DETAILS},
}

COMPONENTS: dict[str, Schema] = {
    "Failure": answer(error=_ERROR),
    "Progress": _PROGRESS,
    "ProgressLine": {
        "type": "object",
        "description": "Null progress: the work has begun and has nothing to tell yet.",
        "required": ["progress"],
        "properties": {"progress": {"oneOf": [{"type": "null"}, ref("Progress")]}},
        "additionalProperties": False,
    },
    "Identity": answer(peer_id=STRING, public_key=STRING, friend_addresses=TEXTS),
    "Status": answer(
        peer_id=STRING,
        addresses=TEXTS,
        friend_addresses=TEXTS,
        uptime_s=NUMBER,
        reachable=BOOLEAN,
        joined=BOOLEAN,
        join_ms=_or_null(NUMBER),
        contacts=COUNT,
        registrars=TEXTS,
        registered_peers=COUNT,
        forwarded_calls=COUNT,
        records=COUNT,
        links=COUNT,
        datagrams_received=COUNT,
        datagrams_sent=COUNT,
        bytes_received=COUNT,
        bytes_sent=COUNT,
        refused=COUNTS,
    ),
    "Mod": answer(
        mod_id=STRING,
        name=STRING,
        files=COUNT,
        bytes=COUNT,
        link=_or_null(STRING),
        shared=BOOLEAN,
        complete=BOOLEAN,
    ),
    "SharedMod": answer(
        mod_id=STRING,
        link=STRING,
        name=STRING,
        files=COUNT,
        bytes=COUNT,
        new_bytes=COUNT,
        published=answer(confirmed=COUNT, asked=COUNT),
    ),
    "Download": answer(
        mod_id=STRING,
        path=STRING,
        files=COUNT,
        bytes=COUNT,
        bytes_fetched=COUNT,
        seconds=NUMBER,
        lookup_ms=_or_null(NUMBER),
        connect_ms=_or_null(NUMBER),
        transfer_MBps=_or_null(NUMBER),
        record_hops=_or_null(COUNT),
        signaled_via=TEXTS,
        sources=TEXTS,
    ),
    "Peer": answer(
        peer_id=STRING,
        address=_or_null(STRING),
        last_seen_s=_or_null(NUMBER),
        rtt_ms=_or_null(NUMBER),
        kind=STRING,
        has=_or_null(BOOLEAN),
    ),
    "DhtContact": answer(peer_id=STRING, address=STRING, rtt_ms=_or_null(NUMBER), path=TEXTS),
    "DhtLookup": answer(
        target=STRING,
        seconds=NUMBER,
        requests=COUNT,
        closest={"type": "array", "items": ref("DhtContact")},
    ),
    "DhtRecord": answer(
        publisher=STRING,
        sequence=COUNT,
        issued=COUNT,
        expires=COUNT,
        bytes=COUNT,
        body={"type": "object"},
    ),
    "DhtRecords": answer(
        key=STRING,
        kind=STRING,
        seconds=NUMBER,
        requests=COUNT,
        hops=COUNT,
        holders=TEXTS,
        registrars=TEXTS,
        records={"type": "array", "items": ref("DhtRecord")},
    ),
    "DhtCrawl": answer(
        seconds=NUMBER,
        named=COUNT,
        asked=COUNT,
        answered=COUNT,
        silent=COUNT,
        whole=BOOLEAN,
        size_estimate=_or_null(COUNT),
        versions=COUNTS,
        families=COUNTS,
        rtt_p50_ms=_or_null(NUMBER),
    ),
    "Link": answer(
        peer_id=STRING,
        direction=STRING,
        path=STRING,
        remote_address=STRING,
        age_s=NUMBER,
        bytes_sent=COUNT,
        bytes_received=COUNT,
    ),
}

DOCUMENT = answer(openapi=STRING, info={"type": "object"}, paths={"type": "object"})
REMOVED = answer(removed=STRING)
STOPPING = answer(stopping=BOOLEAN)

SHARE = _request(
    {"path": _bounded(_PATH_CHARS, "An absolute path: the folder or the file to share.")},
    {"name": _bounded(limits.MOD_NAME_BYTES, "What the mod is called; else as its path is.")},
)

_LINK = _bounded(limits.LINK_TEXT_BYTES, "A modswarm link.")

DOWNLOAD = _request(
    {"link": _LINK},
    {
        "to": _bounded(_PATH_CHARS, "An absolute path: the mod's files go right there."),
        "into": _bounded(_PATH_CHARS, "An absolute path: a folder of the mod's name goes there."),
    },
)
"""With exactly one of `to` and `into`."""

CONNECT = _request({"peer": _bounded(limits.HINT_BYTES, "A peer id.")})
CRAWL = _request({}, {"contacts": COUNT})
NOTHING = _request({})
