"""Every error of the project, in one tree by the side at fault.

    ModswarmError
    ├── LocalError            this machine, its disk, its settings or the person at it
    │   ├── BadInput          what a person typed or a file they gave
    │   │   ├── BadLink, BadAddress, BadPeerId, BadConfig, UnsafePath, NameTaken
    │   │   └── BadFolder     FolderProblems: all that is in its way
    │   ├── HomeError         the node's folder cannot be used
    │   ├── DiskError         full, read-only or failing
    │   │   └── TargetGone    a folder that is to be brought up to date is not there
    │   ├── OutOfResources    no more open files, memory or processes for this program
    │   ├── TargetExists      the place to write to is taken
    │   │   ├── TargetChanged what a person changed in it stands in the way of an update
    │   │   └── TargetBusy    another program holds files of it open
    │   ├── TooLarge          a mod with more bytes than the person allows
    │   ├── DownloadCancelled what is watched was cancelled by another command
    │   └── InsecureRandomness
    ├── NetworkError          no side's fault: something is not there, or not there now
    │   ├── RouterRefused     the home router does not forward a port
    │   ├── Overloaded        this node has more under way than it may (Busy)
    │   ├── AlreadyOwned      datagrams of this kind or address go to another part of this node
    │   ├── TimedOut          NodeSilent: the node of a home runs and does not answer
    │   ├── NotFound, Unreachable, NoSources, LinkClosed, LinkFailed
    │   ├── ClocksDiffer      what depends on time is refused
    │   ├── OriginFailed      an HTTP server does not answer, or not now
    │   ├── StreamFailed      no stream to a gateway; a proxy on the way may be why
    │   ├── RelayFailed       no allocation at a relay, or no longer
    │   ├── CallFailed        CallCrossed, CalleeBusy, NoSuchLink
    │   └── NotRunning        no node answers at the home's control address
    └── RemoteError           a peer broke a rule: counted, dropped, never raised through a loop
        ├── Malformed         Truncated, Oversized, UnknownVersion, NotCanonical, NotUnicast
        ├── NotAuthentic      BadSignature, BadPuzzle, BadKey, WrongKey
        ├── NotTimely         Expired, IssuedInFuture, SequenceTooLow, Replayed
        ├── Unexpected        UnexpectedReply, BadToken, NotPermitted
        ├── OverLimit         RateLimited, CookieNeeded
        │   └── StoreFull     KeyFull, PublisherFull, StorerFull
        ├── RelayRefusal      a TURN request that is answered with an error
        ├── BadAnswer         an HTTP server's, which is none to what was asked
        └── BadContent        BadManifest, ChunkMismatch

`name` is the counter under which a refusal is counted and the name that a person reads.
"""

import math
import re
from collections.abc import Sequence

from protocol import limits
from protocol.causes.cause import Cause


class ModswarmError(Exception):
    """Root of the tree. The message is one plain sentence."""

    name: str = "modswarm_error"

    def __init_subclass__(cls) -> None:
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


class LocalError(ModswarmError):
    """This machine or the person at it can mend it; `advice` says how where it is not told."""

    def __init__(self, message: str = "", *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class BadInput(LocalError):
    """What a person typed, or a file that they gave, cannot be used."""


class BadLink(BadInput):
    """Text that is not a modswarm link."""


class BadAddress(BadInput):
    """Text that is not `host:port` with an IP literal or a name."""


class BadPeerId(BadInput):
    """Text that is not a peer id."""


class BadConfig(BadInput):
    """A setting is unknown or out of its range."""


class UnsafePath(BadInput):
    """A path in a folder to share that other systems could not hold, or that leads out of it."""


class BadFolder(BadInput):
    """A folder to share that is missing, empty or unreadable."""


class NameTaken(BadInput):
    """A mod of this name was shared from another folder."""


class FolderProblems(BadFolder):
    """Several things in a folder stand in the way of sharing it."""

    def __init__(
        self, message: str, problems: Sequence[str] = (), more: int = 0, *, advice: str = ""
    ) -> None:
        super().__init__(message, advice=advice)
        self.problems = tuple(problems)
        """A sentence for each of the first."""
        self.more = more
        """How many others there are."""


class HomeError(LocalError):
    """The node's home folder cannot be used."""


class DiskError(LocalError):
    """The disk is full, read-only or failing."""


class OutOfResources(LocalError):
    """The system gives this program no more open files, memory, threads or processes."""


class TargetGone(DiskError):
    """A folder that is to be brought up to date is not there."""


class TargetExists(LocalError):
    """The place to write to is taken."""


class TargetChanged(TargetExists):
    """What a person changed in a folder stands in the way of bringing it up to date."""


class TargetBusy(TargetExists):
    """Another program holds files open that are to be replaced."""


class TooLarge(LocalError):
    """A mod has more bytes than the person allows, or than what is fetched makes plausible."""


class DownloadCancelled(LocalError):
    """Another command cancelled the download that this one waits for."""


class InsecureRandomness(LocalError):
    """A seeded random source outside a simulation."""


class NetworkError(ModswarmError):
    """No side's fault: something is not there, or not there now.

    `cause` is set where it is known why a peer is not reached; without a message its sentence is
    the message.
    """

    def __init__(self, message: str = "", *, cause: Cause | None = None) -> None:
        super().__init__(message or (cause.sentence if cause else ""))
        self.cause = cause


class NotFound(NetworkError):
    """No peer that was asked knows it."""


class TimedOut(NetworkError):
    """No answer within the time limit."""


class NodeSilent(TimedOut):
    """A node runs in the home, and does not answer at its control address."""


class RouterRefused(NetworkError):
    """The home router does not do what it was asked; `code` is the UPnP error code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the router refuses: {reason} (UPnP error {code})")
        self.code = code


class Overloaded(NetworkError):
    """This node has more under way than it may; later it can."""


class Busy(Overloaded):
    """Every place is taken by what has had less than its time; ask again after `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"every place is taken, for {retry_after_s:.1f} s at least")
        self.retry_after_s = retry_after_s

    @property
    def retry_s(self) -> int:
        """The same in whole seconds, as it is told to a peer."""
        return min(math.ceil(self.retry_after_s) or 1, limits.BUSY_RETRY_MAX_S)


class AlreadyOwned(NetworkError):
    """Datagrams of this kind, transaction, ufrag or address go to another part of this node."""


class Unreachable(NetworkError):
    """No contact of the overlay answers."""


class ClocksDiffer(NetworkError):
    """Our clock and those of others differ by more than CLOCK_SKEW_S."""


class NoSources(NetworkError):
    """No peer that can be reached serves the mod."""


class LinkClosed(NetworkError):
    """The link ended, by either side or with its path."""


class LinkFailed(NetworkError):
    """A link could not be opened; the message says what was tried."""


class OriginFailed(NetworkError):
    """An HTTP origin does not answer, or cannot serve now; or it may not be connected to."""


class RelayFailed(NetworkError):
    """A relay gave no allocation, or the allocation is lost; the message says why."""


class StreamFailed(NetworkError):
    """A gateway takes no stream, or what is on the way refuses it; the message says what to do."""


class CallFailed(NetworkError):
    """A call ended without a link; the message is the callee's or the registrars' reason."""


class CallCrossed(CallFailed):
    """Both peers called at once, and the other's offer counts: its link is about to come."""


class CalleeBusy(CallFailed):
    """No place for the call now; it may be tried again after `retry_after_s`."""

    def __init__(self, retry_after_s: float, *, cause: Cause = Cause.BUSY) -> None:
        super().__init__(cause=cause)
        self.retry_after_s = retry_after_s


class NoSuchLink(CallFailed):
    """The link that was to be restarted is not there any more, by the word of its other side."""

    def __init__(self) -> None:
        super().__init__("the peer has this link no more")


class NotRunning(NetworkError):
    """No node answers at the home's control address."""


class RemoteError(ModswarmError):
    """A peer broke a rule of the protocol."""


class Malformed(RemoteError):
    """Bytes that do not have the form they claim."""


class Truncated(Malformed):
    """Fewer bytes than the form needs."""


class Oversized(Malformed):
    """More bytes or items than the bound allows."""


class UnknownVersion(Malformed):
    """A form or a version that this node does not speak."""


class NotCanonical(Malformed):
    """Signed bytes that are not in the one canonical form."""


class NotUnicast(Malformed):
    """An address that is not one other machine's: unspecified, multicast or broadcast."""


class NotAuthentic(RemoteError):
    """The bytes are not from the peer that they claim as their author."""


class BadSignature(NotAuthentic):
    """A signature does not match its body, kind and key."""


class BadPuzzle(NotAuthentic):
    """A public key that does not solve the identity puzzle."""


class BadKey(NotAuthentic):
    """Bytes that are not a usable public key."""


class WrongKey(NotAuthentic):
    """A record stored under, or returned for, a key that is not its own."""


class NotTimely(RemoteError):
    """Valid once, or valid later, but not now."""


class Expired(NotTimely):
    """Past its expiry."""


class IssuedInFuture(NotTimely):
    """Issued further ahead than clocks may differ."""


class SequenceTooLow(NotTimely):
    """A record with a sequence number that a newer one has overtaken."""


class Replayed(NotTimely):
    """Seen before, and good only once."""


class Unexpected(RemoteError):
    """Well-formed, but unasked for, or without the proof of address that it needs."""


class UnexpectedReply(Unexpected):
    """A reply that matches no request to that peer at that address."""


class BadToken(Unexpected):
    """A request that changes state without proof of its address."""


class OverLimit(RemoteError):
    """More than a peer may ask for."""


class RateLimited(OverLimit):
    """Too many in too short a time."""


class CookieNeeded(OverLimit):
    """A sender with an unknown key must show, under load, that it receives at its address."""


class StoreFull(OverLimit):
    """The store's bytes, the key's values or the publisher's values are used up."""


class KeyFull(StoreFull):
    """This key holds as many values as it may; elsewhere there may be room."""


class PublisherFull(StoreFull):
    """This publisher stores as many values as it may."""


class StorerFull(StoreFull):
    """This peer has stored as many values as it may."""


class RelayRefusal(RemoteError):
    """A TURN request that is answered with an error; `code` is its ERROR-CODE (RFC 8656, 19)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class NotPermitted(Unexpected):
    """Data to or from an address that has no permission, channel or allocation at this relay."""


class BadAnswer(RemoteError):
    """What an HTTP origin answers is no answer to what it was asked."""


class BadContent(RemoteError):
    """Bytes of a mod that are not what was announced."""


class BadManifest(BadContent):
    """A manifest that lies, overflows or names an unsafe path."""


class ChunkMismatch(BadContent):
    """A chunk whose bytes do not hash to its address, or do not open under its key."""
