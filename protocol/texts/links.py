"""The link in a pasted text, whatever mail, chats, shells and keyboards have done to it.

A link's two parts have checksums, so text around and between them cannot make another link of it.
Hints have none: where a blank or a line end stood in them, each must be whole.
"""

import re
from collections.abc import Iterator

from protocol import limits
from protocol.addresses import split_host_port
from protocol.content import link
from protocol.content.link import SCHEME, AnyLink, LineageLink, ModLink
from protocol.content.origins.urls import hinted_origin
from protocol.errors import BadAddress, BadInput, BadLink, BadPeerId
from protocol.identity import parse_peer_id
from protocol.texts.wrappings import Joined, bare, joined, plain

_SCHEME = re.compile(SCHEME, re.IGNORECASE)
_SHAPES = tuple(
    re.compile(
        rf"/*(?P<id>{mark}[a-z2-7]{{56}})(?:/+(?=\?))?(?P<hints>\?[a-z0-9.:\[\]/=&%~_+-]*)?"
        r"(?:/*#(?P<key>[a-z2-7]{56}))?(?P<version>@[1-9][0-9]{0,9})?",
        re.IGNORECASE,
    )
    for mark in ("", "l")
)
"""Of a mod, and of a lineage: where a line ends behind a mod's id, that of the next word may look
like the other."""
_VERSION = re.compile(r"@[1-9][0-9]{0,9}(?![\w@]|[.,-][0-9])", re.ASCII)
"""Behind a key; `@2.` ends a sentence."""
_PIECE = re.compile(r"[\w.:\[\]/?&=#%~+-]*")
_PIECE_CHARS_MIN = 20
"""Of what counts as a second link: words are shorter."""
_PIECE_AROUND = ".:[]/~-"
_CLOSING = "\"'`)>}.,;!*_~\u2019\u201d\u00bb" + _PIECE_AROUND
_HINTS_END = ".:]/-&~_"
"""Of a sentence or a bracket, not of a hint."""
_HYPHENS = re.compile(r"[-\u2010][ \t]*[\r\n][\s>|]*")
"""At the ends of lines, as pages of books and PDF have them."""
_SHOWN_CHARS = 12
_ONE_ALONE = "Paste the link that you mean alone."


def link_in(text: str) -> ModLink:
    """The link of one version that stands in `text`; raises BadLink, as `any_link_in` does."""
    found = any_link_in(text)
    if isinstance(found, LineageLink):
        raise BadLink(
            "that is the link of a mod through all versions, and this takes one of a version",
            advice="`modswarm versions LINK` shows them.",
        )
    return found


def any_link_in(text: str) -> AnyLink:
    """The one link that stands in `text`; raises BadLink, without repeating a key."""
    try:
        return link.parse(text.replace("/#", "#"))  # as programs write addresses anew
    except BadLink as error:
        refusal = error
    try:
        text = plain(text)
    except BadInput as error:
        raise BadLink(f"not a modswarm link: {error}") from None
    found, broken = _all_in(joined(text))
    if not _have_key(found):
        whole, others = _all_in(joined(_HYPHENS.sub("", text)))
        is_better = _have_key(whole) or (whole and not found)
        if is_better and not any(
            one.hints or one.origins for one in whole
        ):  # names of hosts have hyphens
            found, broken = whole, others
    if found:
        return _one_of(found, broken)
    if broken:
        raise max(broken, key=lambda one: len(one[0]))[1]
    raise _without_scheme(text, refusal)


def lineage_link_in(text: str) -> LineageLink:
    """The link of a mod through all its versions; raises BadLink, as `any_link_in` does."""
    found = any_link_in(text)
    if not isinstance(found, LineageLink):
        raise BadLink(
            "that is the link of one version, which never changes",
            advice="Ask for the link that follows the mod: `modswarm share` prints it as well.",
        )
    return found


def followed_link_in(text: str) -> LineageLink:
    """The link of what is to be followed, whatever is newest; raises BadLink for one version."""
    found = lineage_link_in(text)
    if found.version is not None:
        raise BadLink(
            f"@{found.version} names one version, and what is followed is whatever is newest",
            advice="Take that part away; `modswarm get` fetches one version.",
        )
    return found


def holds_link(text: str) -> bool:
    """Whether `text` is meant as a link, or has one in it."""
    try:
        return _SCHEME.search(joined(plain(text)).text) is not None
    except BadInput:
        return False


def _have_key(found: list[AnyLink]) -> bool:
    return any(one.parts[1] is not None for one in found)


Broken = tuple[str, BadLink]
"""What stands of a damaged link, without the scheme, and why it is refused."""


def _all_in(pasted: Joined) -> tuple[list[AnyLink], list[Broken]]:
    found: list[AnyLink] = []
    broken: list[Broken] = []
    for start, end in _spans(pasted):
        try:
            found.append(_link_at(pasted, start, end))
        except BadLink as error:
            broken.append((_piece_at(pasted, start, end), error))
    return found, broken


def _spans(pasted: Joined) -> Iterator[tuple[int, int]]:
    """From behind each scheme to the next one; raises BadLink for too many."""
    starts = list(_SCHEME.finditer(pasted.text))
    if len(starts) > limits.PASTED_LINKS:
        raise BadLink(
            f"more than {limits.PASTED_LINKS} links stand there; give one", advice=_ONE_ALONE
        )
    ends = [found.start() for found in starts[1:]] + [len(pasted.text)]
    yield from zip((found.end() for found in starts), ends, strict=False)


def _link_at(pasted: Joined, start: int, end: int) -> AnyLink:
    """The link whose scheme ends at `start`; raises BadLink."""
    refusals = []
    for pattern in _SHAPES:
        shape = pattern.match(pasted.text, start, end)
        if shape is not None and shape["key"]:
            _check_version(pasted, shape.end("key"), end)
        text = "" if shape is None else _whole(pasted, shape, end)
        if text:
            try:
                return link.parse(SCHEME + text)
            except BadLink as error:
                refusals.append(error)
    if refusals:
        raise refusals[0]
    return link.parse(SCHEME + _piece_at(pasted, start, end))


def _check_version(pasted: Joined, start: int, end: int) -> None:
    """Raise BadLink where `@` stands right behind a key and names no version."""
    end = min((place for place in pasted.gaps if start <= place < end), default=end)
    begins = pasted.text.startswith("@", start, end)
    if begins and not _VERSION.match(pasted.text, start, end):
        raise BadLink(
            "behind the link's @ stands no version, which is a number from 1 on",
            advice="`modswarm versions LINK` shows which there are.",
        )


def _whole(pasted: Joined, shape: re.Match[str], end: int) -> str:
    """A link without its scheme, if it ends where the shape does; else empty text.

    Raises BadLink for cut hints.
    """
    if shape["key"]:
        if not _ends_at(pasted, shape.end(), end):
            return ""
        return f"{shape['id']}{_hints(pasted, shape)}#{shape['key']}{shape['version'] or ''}"
    hints_end = pasted.gap_within(shape.end("id") - 1, shape.end()) or shape.end()
    if not _ends_at(pasted, hints_end, end):
        return ""
    return shape["id"] + pasted.text[shape.end("id") : hints_end].rstrip(_HINTS_END)


def _ends_at(pasted: Joined, place: int, end: int) -> bool:
    """Whether a link may end there: at a blank, a line end, punctuation or another link.

    Letters of other scripts end it too: not all of them have blanks between words.
    """
    if place == end or place in pasted.gaps:
        return True
    after = pasted.text[place]
    return not (after.isascii() and after.isalnum()) and after not in "?#"


def _hints(pasted: Joined, shape: re.Match[str]) -> str:
    """The hints of a link with a key; raises BadLink where a gap may have cut one."""
    hints = (shape["hints"] or "").rstrip("/")
    if hints and pasted.gap_within(*shape.span("hints")) is not None:
        for part in hints[1:].split("&"):
            name, _, value = part.partition("=")
            if not (_is_origin(value) if name.lower() == "o" else _is_whole(value)):
                raise BadLink("a blank or a line break stands in the link's hints; take it out")
    return hints


def _is_origin(text: str) -> bool:
    try:
        return bool(hinted_origin(text))
    except BadInput:
        return False


def _is_whole(hint: str) -> bool:
    """Whether a hint is a peer id, or an address with or without one."""
    where, slash, peer = hint.rpartition("/")
    try:
        if slash or ":" not in hint:
            parse_peer_id(peer)
        if slash or ":" in hint:
            split_host_port(where or hint)
    except (BadAddress, BadPeerId):
        return False
    return True


def _piece_at(pasted: Joined, start: int, end: int) -> str:
    """What stands of a damaged link: all there is if only lines were broken, or up to a blank."""
    found = next(_PIECE.finditer(pasted.text, start, end))  # perhaps of no letters
    is_all = found.end() == len(pasted.text.rstrip(_CLOSING))
    inside = [place for place in pasted.gaps if start < place < found.end()]
    if not (is_all and all(pasted.gaps[place] for place in inside)):
        return pasted.text[start : min((*inside, found.end()))].strip(_PIECE_AROUND)
    return found[0].strip(_PIECE_AROUND)


def _one_of(found: list[AnyLink], broken: list[Broken]) -> AnyLink:
    """The link that all of them are; raises BadLink if there are two."""
    best = max(found, key=_tells)
    for one in found:
        if one.parts[0] != best.parts[0] or one.parts[1] not in {None, best.parts[1]}:
            raise BadLink(
                f"two different links stand there, {_shown(best)} and {_shown(one)}; give one",
                advice=_ONE_ALONE,
            )
    for piece, error in broken:
        if len(piece) >= _PIECE_CHARS_MIN and not str(best)[len(SCHEME) :].startswith(
            piece.lower()
        ):
            raise BadLink(
                f"two links stand there, {_shown(best)} and a damaged one ({error}); give one",
                advice=_ONE_ALONE,
            )
    return best


def _tells(one: AnyLink) -> tuple[bool, int]:
    """How much a link tells."""
    return one.parts[1] is not None, len(one.hints) + len(one.origins)


def _shown(one: AnyLink) -> str:
    return f"{str(one)[: len(SCHEME) + _SHOWN_CHARS]}..."


def _without_scheme(text: str, refusal: BadLink) -> BadLink:
    if not text.strip():
        return BadLink(f"not a modswarm link: it is empty, and a link starts with {SCHEME}")
    for word in text.split():
        if link.is_piece(bare(word)):
            return BadLink(
                f"the link is cut: its beginning is missing, and a link starts with {SCHEME}"
            )
    return refusal
