"""Errors as JSON, and back: a table of their names, and what some carry beyond their sentence.

By hand and not by `forms`, which the command line would pay for at each start.
"""

from collections.abc import Callable
from typing import Any

from node.faces.api.errors import (
    BadPageOffer,
    BadRequest,
    BadSdp,
    BodyTooLarge,
    BodyTooSlow,
    Forbidden,
    HeadTooLarge,
    MethodNotAllowed,
    NoSuchPath,
    NotJson,
    TooManyConnections,
    Unauthorized,
    message_of,
)
from node.holders.failures import HolderFailure, HoldersUnreachable
from node.links.failure import AttemptReport, LinkAttemptFailed
from node.links.stages import Stage
from protocol import errors
from protocol.addresses import Address
from protocol.causes.cause import Cause
from protocol.causes.tried import KnownSide, TriedPair
from protocol.errors import (
    BadInput,
    Busy,
    CalleeBusy,
    DiskError,
    FolderProblems,
    LocalError,
    ModswarmError,
    NetworkError,
    NoSources,
    NotFound,
    NotRunning,
    RemoteError,
    TargetExists,
    TimedOut,
)
from protocol.ice.candidates import CandidateKind
from protocol.ice.pairs import PairOutcome
from protocol.identity import parse_peer_id, peer_id_text
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind
from protocol.sctp.errors import SctpMisuse, SendBufferFull

Json = dict[str, Any]


ERROR_KINDS: dict[str, type[ModswarmError]] = {
    kind.name: kind
    for kind in (
        # This API's own.
        *(BadRequest, NotJson, BodyTooLarge, BodyTooSlow, HeadTooLarge, NoSuchPath),
        *(MethodNotAllowed, Unauthorized, Forbidden, TooManyConnections, BadSdp, BadPageOffer),
        # Of this machine.
        *(LocalError, BadInput, errors.BadLink, errors.BadAddress, errors.BadPeerId),
        *(errors.BadConfig, errors.UnsafePath, errors.BadFolder, errors.HomeError, DiskError),
        *(errors.FolderProblems, errors.NameTaken),
        *(errors.TargetGone, errors.TargetChanged, errors.TargetBusy),
        *(TargetExists, errors.TooLarge, errors.OutOfResources, errors.InsecureRandomness),
        *(SctpMisuse, SendBufferFull, errors.DownloadCancelled),
        # Of the network.
        *(NetworkError, NotFound, TimedOut, errors.Overloaded, errors.Unreachable, NoSources),
        *(HoldersUnreachable, errors.ClocksDiffer, errors.RelayFailed),
        *(errors.LinkClosed, errors.LinkFailed, LinkAttemptFailed, errors.CallFailed),
        *(errors.Busy, errors.CalleeBusy),
        *(errors.CallCrossed, NotRunning, errors.AlreadyOwned),
        # Of a peer.
        *(RemoteError, errors.Malformed, errors.Truncated, errors.Oversized),
        *(errors.UnknownVersion, errors.NotCanonical, errors.NotUnicast, errors.NotAuthentic),
        *(errors.BadAnswer, errors.OriginFailed),
        *(errors.BadSignature, errors.BadPuzzle, errors.BadKey, errors.WrongKey, errors.NotTimely),
        *(errors.Expired, errors.IssuedInFuture, errors.SequenceTooLow, errors.Replayed),
        *(errors.Unexpected, errors.UnexpectedReply, errors.BadToken, errors.NotPermitted),
        errors.OverLimit,
        *(errors.RateLimited, errors.CookieNeeded, errors.StoreFull, errors.KeyFull),
        *(
            errors.PublisherFull,
            errors.StorerFull,
            errors.BadContent,
            errors.BadManifest,
            errors.ChunkMismatch,
        ),
    )
}
"""Every error that an answer may name. A test holds it against the whole tree."""


def as_json(error: ModswarmError) -> dict[str, Any]:
    """`{"error": {"name", "message"}}`, and `cause`, `advice` and `details` where it has them."""
    told: dict[str, Any] = {"name": error.name, "message": message_of(error)}
    if isinstance(error, LocalError) and error.advice:
        told["advice"] = error.advice
    if isinstance(error, NetworkError) and error.cause is not None:
        told |= {"cause": str(error.cause), "advice": error.cause.advice}
    details = details_of(error)
    if details is not None:
        told["details"] = details
    return {"error": told}


def from_json(answer: Any) -> ModswarmError | None:
    """The error in an answer or in a line of a stream; None if there is none.

    A name that this version does not know becomes a plain ModswarmError.
    """
    told = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(told, dict):
        return None
    kind = ERROR_KINDS.get(str(told.get("name")), ModswarmError)
    message, cause = str(told.get("message", "the node gave no reason")), read_cause(told)
    if kind.name in REMADE:
        try:
            return REMADE[kind.name](told, cause)
        except (AttributeError, KeyError, TypeError, ValueError, errors.BadPeerId):
            # Details of another version: the parent has the same status.
            kind = kind.__mro__[1]
    if issubclass(kind, NetworkError):
        return kind(message, cause=cause)
    if issubclass(kind, LocalError):
        return kind(message, advice=str(told.get("advice", "")))
    return kind(message)


def details_of(error: ModswarmError) -> Json | None:
    """The details of an error that has any."""
    if isinstance(error, LinkAttemptFailed):
        report = None if error.report is None else _report_json(error.report)
        return {"stage": str(error.stage), "reason": error.reason, "report": report}
    if isinstance(error, HoldersUnreachable):
        return {"holders": [_holder_json(one) for one in error.failures]}
    if isinstance(error, Busy | CalleeBusy):
        return {"retry_after_s": error.retry_after_s}
    if isinstance(error, FolderProblems):
        return {"problems": list(error.problems), "more": error.more}
    return None


def link_attempt_failed(told: Json, cause: Cause | None) -> NetworkError:
    """The error made anew; raises KeyError, TypeError, ValueError for details of another form."""
    details = told["details"]
    report = None if details["report"] is None else _read_report(details["report"])
    stage, reason = Stage(details["stage"]), str(details["reason"])
    return LinkAttemptFailed(stage, reason, cause=cause, report=report)


def holders_unreachable(told: Json, cause: Cause | None) -> NetworkError:
    """The error made anew; raises KeyError, TypeError, ValueError for details of another form."""
    holders = [_read_holder(one) for one in told["details"]["holders"]]
    if not holders:
        raise ValueError("no holder that was not reached")
    return HoldersUnreachable(holders)


def folder_problems(told: Json) -> FolderProblems:
    """The error made anew; raises KeyError, TypeError, ValueError for details of another form."""
    details = told["details"]
    problems = [str(one) for one in details["problems"]]
    return FolderProblems(str(told["message"]), problems, int(details["more"]))


REMADE: dict[str, Callable[[Json, Cause | None], ModswarmError]] = {
    LinkAttemptFailed.name: link_attempt_failed,
    HoldersUnreachable.name: holders_unreachable,
    Busy.name: lambda told, _: Busy(_retry_after_s(told)),
    CalleeBusy.name: lambda told, why: CalleeBusy(_retry_after_s(told), cause=why or Cause.BUSY),
    FolderProblems.name: lambda told, _: folder_problems(told),
}
"""How errors with details are made of JSON, by name."""


def _retry_after_s(told: Json) -> float:
    return float(told["details"]["retry_after_s"])


def read_cause(told: Json) -> Cause | None:
    """The cause that a failure names; None for none, and for one that is not known here."""
    name = told.get("cause")
    return Cause(name) if name in set(Cause) else None


def _report_json(report: AttemptReport) -> Json:
    return {
        "stage_ms": {stage: round(took_ms, 1) for stage, took_ms in report.stage_ms.items()},
        "own": None if report.own is None else _side_json(report.own),
        "peer": None if report.peer is None else _side_json(report.peer),
        "pairs": [_pair_json(pair) for pair in report.pairs],
    }


def _read_report(told: Json) -> AttemptReport:
    return AttemptReport(
        {str(stage): float(took_ms) for stage, took_ms in told["stage_ms"].items()},
        None if told["own"] is None else read_side(told["own"]),
        None if told["peer"] is None else read_side(told["peer"]),
        tuple(_read_pair(pair) for pair in told["pairs"]),
    )


def _side_json(side: KnownSide) -> Json:
    nat = {
        "mapping": side.nat.mapping.name.lower(),
        "filtering": side.nat.filtering.name.lower(),
        "port_preserved": side.nat.port_preserved,
        "port_step": side.nat.port_step,
    }
    return {"families": list(side.families), "nat": nat, "relays": side.relays}


def read_side(told: Json) -> KnownSide:
    """One side's network as the API writes it; raises as the errors' makers do."""
    kind = told["nat"]
    nat = NatKind(
        MappingKind[kind["mapping"].upper()],
        FilteringKind[kind["filtering"].upper()],
        bool(kind["port_preserved"]),
        int(kind["port_step"]),
    )
    return KnownSide(tuple(map(int, told["families"])), nat, int(told["relays"]))


def _pair_json(pair: TriedPair) -> Json:
    return {
        "local": str(pair.local),
        "local_type": pair.local_type.name.lower(),
        "remote": str(pair.remote),
        "remote_type": pair.remote_type.name.lower(),
        "outcome": pair.outcome.name.lower(),
    }


def _read_pair(told: Json) -> TriedPair:
    return TriedPair(
        _read_address(told["local"]),
        CandidateKind[told["local_type"].upper()],
        _read_address(told["remote"]),
        CandidateKind[told["remote_type"].upper()],
        PairOutcome[told["outcome"].upper()],
    )


def _read_address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))


def _holder_json(failure: HolderFailure) -> Json:
    return {
        "peer_id": peer_id_text(failure.peer_id),
        "name": failure.name,
        "message": failure.message,
        "cause": failure.cause,
    }


def _read_holder(told: Json) -> HolderFailure:
    peer_id = parse_peer_id(told["peer_id"])
    return HolderFailure(peer_id, str(told["name"]), str(told["message"]), read_cause(told))
