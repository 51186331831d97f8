"""The peer id, or the line of a bootstrap, in a pasted text.

Neither has a checksum, so the text counts only if one stands in it whole, and no other one.
"""

import re
from collections.abc import Iterable

from protocol.errors import BadAddress, BadInput, BadPeerId
from protocol.identity import PeerId, parse_peer_id
from protocol.texts.wrappings import bare, plain, unbroken

_PEER_ID = re.compile(r"(?<![a-z0-9])p[a-z2-7]{32}(?![a-z0-9])", re.IGNORECASE)
_HOST = r"(?:\[[0-9a-f:.]+\]|\d{1,3}(?:\.\d{1,3}){3}|[a-z0-9.-]*[a-z][a-z0-9.-]*)"
_FRIEND_LINE = re.compile(
    rf"(?<![\w.:\[-]){_HOST}:\d{{1,5}}/p[a-z2-7]{{32}}(?![a-z0-9])", re.IGNORECASE
)
"""`host:port/peer-id`, in the midst of other words."""

_OPTION = re.compile(r"(?:.*\s)?--bootstrap[\s=]+", re.DOTALL)
_PROTOCOL = re.compile(r"^[a-z]{3,8}://", re.IGNORECASE)


def peer_id_in(text: str) -> PeerId:
    """The one peer id that stands in `text`, alone or behind an address; raises BadPeerId."""
    try:
        return parse_peer_id(text)
    except BadPeerId as error:
        refusal = error
    try:
        meant = plain(text)
    except BadInput as error:
        raise BadPeerId(f"not a peer id: {error}") from None
    alone = unbroken(bare(meant))
    found = _distinct(_PEER_ID.findall(meant)) or _distinct(_PEER_ID.findall(alone))
    if len(found) > 1:
        raise BadPeerId(f"two different peer ids stand there, {found[0]} and {found[1]}; give one")
    if not found and not alone:
        raise refusal
    return parse_peer_id(found[0] if found else alone)


def friend_line_in(text: str) -> str:
    """`host:port/peer-id` or `host:port`, without what stands around it; raises BadAddress.

    Where there is neither, something of `text` is left, which says what is wrong with it.
    """
    try:
        meant = plain(text)
    except BadInput as error:
        raise BadAddress(f"not an address of the form host:port: {error}") from None
    option = _OPTION.match(meant)
    alone = _PROTOCOL.sub("", unbroken(bare(meant[option.end() :] if option else meant)))
    if _FRIEND_LINE.fullmatch(alone):
        return alone
    found = _distinct(_FRIEND_LINE.findall(meant))
    if len(found) > 1:
        raise BadAddress(
            f"two different addresses stand there, {found[0]} and {found[1]}; give one"
        )
    return found[0] if found else alone


def _distinct(found: Iterable[str]) -> list[str]:
    """Each once, in lower case."""
    return list(dict.fromkeys(one.lower() for one in found))
