"""The shapes of what goes into the control API and comes out of it, as JSON Schema.

Requests refuse what they do not name. Answers may grow: clients pass over fields that they do not
know.
"""

from typing import Any

from node.answers.downloads import Priority
from node.faces.api import forms
from node.faces.api.forms import ref
from node.faces.api.validation import Schema
from protocol import limits
from protocol.causes.cause import Cause

STRING = {"type": "string"}
COUNT = {"type": "integer"}


def _bounded(characters: int, description: str) -> dict[str, Any]:
    """Text that is not blank; the description also says in refusals what to give."""
    return {
        "type": "string",
        "maxLength": characters,
        "pattern": r"\S",
        "description": description,
    }


def _answer(**properties: Schema) -> Schema:
    """An object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _request(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "required": list(required),
        "properties": required | (optional or {}),
        "additionalProperties": False,
    }


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _nullable(schema: Schema) -> Schema:
    return {"oneOf": [{"type": "null"}, schema]}


_LINK_DETAILS = {
    **_answer(stage=STRING, reason=STRING, report=_nullable(ref("Attempt"))),
    "description": "How far a link came that failed, what this node saw, and what was tried.",
}

_HOLDER = _answer(peer_id=STRING, name=STRING, message=STRING, cause=_nullable(STRING))

_GET_DETAILS = {
    **_answer(holders=_array(_HOLDER)),
    "description": "Why each holder of the mod was not reached.",
}

_BUSY_DETAILS = {
    **_answer(retry_after_s={"type": "number"}),
    "description": "In how many seconds it is worth asking again.",
}

_FOLDER_DETAILS = {
    **_answer(problems=_array(STRING), more=COUNT),
    "description": "What stands in the way of sharing a folder, and how many more things do.",
}

_ERROR: Schema = {
    "type": "object",
    "required": ["name", "message"],
    "properties": {
        "name": STRING,
        "message": STRING,
        "cause": {"type": "string", "enum": [str(cause) for cause in Cause]},
        "advice": {"type": "string", "description": "What helps, for a person."},
        "details": {"oneOf": [_LINK_DETAILS, _GET_DETAILS, _BUSY_DETAILS, _FOLDER_DETAILS]},
    },
}

COMPONENTS: dict[str, Schema] = {
    "Failure": _answer(error=_ERROR),
    "ProgressLine": {
        "type": "object",
        "description": "Null progress: the work has begun and has no progress yet.",
        "required": ["progress"],
        "properties": {"progress": {"oneOf": [{"type": "null"}, ref("Progress")]}},
        "additionalProperties": False,
    },
    **{name: forms.schema_of(kind) for kind, name in forms.COMPONENT_NAMES.items()},
}

SHARE = _request(
    {"path": _bounded(limits.PATH_CHARS, "An absolute path: the folder or the file to share.")},
    {
        "name": _bounded(limits.MOD_NAME_BYTES, "What the mod is called; else as its path is."),
        "exclude": {
            "type": "array",
            "maxItems": limits.EXCLUDES,
            "items": _bounded(limits.IGNORE_PATTERN_CHARS, "A pattern as in a .gitignore."),
            "description": "What is left out, besides what `.modswarmignore` in the folder says.",
        },
        "continues": {
            "type": "boolean",
            "description": "Make this the next version of the mod of that name, which was made of"
            " another folder.",
        },
        "times": {
            "type": "boolean",
            "description": "Whether to tell when the files were modified; else true.",
        },
        "origins": {
            "type": "array",
            "maxItems": limits.ORIGINS_NAMED,
            "items": _bounded(limits.PASTED_CHARS, "The URL of a folder with the exported mod."),
            "description": "HTTP servers that the links name beside peers; without this field those"
            " that the version before named, and none for an empty list.",
        },
    },
)

_LINK = _bounded(limits.PASTED_CHARS, "A modswarm link.")

_PRIORITY = {
    **_bounded(8, "Before which downloads of the queue it has its turn: high, normal or low."),
    "enum": [priority.value for priority in Priority],
}

DOWNLOAD = _request(
    {"link": _LINK},
    {
        "to": _bounded(limits.PATH_CHARS, "An absolute path: the mod's files go right there."),
        "into": _bounded(
            limits.PATH_CHARS, "An absolute path: a folder of the mod's name goes there."
        ),
        "max_bytes": {
            "type": "integer",
            "description": f"The most that may be written, from any bytes; {limits.GET_BYTES}"
            " unless `yes`.",
        },
        "yes": {
            "type": "boolean",
            "description": "A person agrees to whatever size; `max_bytes` counts all the same.",
        },
        "priority": _PRIORITY,
        "wait_s": {
            "type": "number",
            "description": "How many seconds to wait for a source when all were lost midway;"
            f" {limits.GET_WAIT_S:g} by default, and 0 does not wait.",
        },
    },
)
"""With exactly one of `to` and `into`."""

FOLLOW = _request(
    {
        "link": _bounded(limits.PASTED_CHARS, "The link of a mod through all its versions."),
        "to": _bounded(limits.PATH_CHARS, "An absolute path: the folder that is kept current."),
    },
    {
        "refuse_changed": {
            "type": "boolean",
            "description": "Whether updates are refused where a person changed files, which are"
            " else kept as NAME.local.",
        },
        "max_bytes": {
            "type": "integer",
            "description": "A version that takes more of the disk waits for a person's yes.",
        },
        "yes": {
            "type": "boolean",
            "description": "A person agrees to the size of the first version, whatever it is.",
        },
    },
)

_MOD_NAME = _bounded(limits.MOD_NAME_BYTES, "The name of a mod that this node shares.")

KEEP = _request(
    {
        "name": _MOD_NAME,
        "versions": {"type": "integer", "description": "How many are kept; 0 keeps all."},
    }
)

EXPORT_LINEAGE = _request({"name": _MOD_NAME})

IMPORT = _request({"lineage": _bounded(limits.PASTED_CHARS, "What `export` told.")})

RESUME = _request({}, {"priority": _PRIORITY})

LOOK = _request({"link": _LINK})

ORIGINS = _request(
    {"link": _LINK},
    {
        "agreed": {
            "type": "boolean",
            "description": "Whether the origins of the link may be asked for its mod, or for a"
            " lineage's link for all its versions; remembered.",
        },
    },
)

_RATE = _bounded(
    limits.RATE_CHARS,
    "Bytes a second, such as 500k or 2M; off for no limit; config for what config.toml says.",
)
LIMITS = _request({}, dict.fromkeys(("up", "down", "up_per_peer", "down_per_peer"), _RATE))

CONNECT = _request(
    {"peer": _bounded(limits.PASTED_CHARS, "A peer id.")},
    {
        "keep": {
            "type": "boolean",
            "description": "True: keep this link up until the node stops, though nothing uses it, "
            "and call the peer again when it is lost. False: end that.",
        },
    },
)
PAGE = _request(
    {
        "key": _bounded(2 * limits.KEY_BYTES, "The page's public key, 32 bytes in hex."),
        "offer_id": _bounded(32, "16 random bytes in hex."),
        "issued": {"type": "integer", "description": "When it was signed, seconds since 1970."},
        "session": _bounded(64, "The page's ephemeral X25519 key, 32 bytes in hex."),
        "signature": _bounded(128, "What PROTOCOL.md, 8.1, says, signed: 64 bytes in hex."),
        "sdp": _bounded(limits.PAGE_SDP_CHARS, "The offer of its RTCPeerConnection."),
    }
)
PIN = _request({"mod_id": _bounded(limits.PASTED_CHARS, "A mod id.")})
EXPORT = _request(
    {
        "mod_id": _bounded(limits.PASTED_CHARS, "A mod id."),
        "to": _bounded(limits.PATH_CHARS, "An absolute path: the folder for the two files."),
    }
)
CRAWL = _request({}, {"contacts": COUNT})
NOTHING = _request({})
