"""The causes for which a peer is not reached: one sentence and one piece of advice for each.

A sentence states what this node knows; where two things look the same from here it names both.
Sentences begin like an error's message, in lower case and without a full stop.
"""

from enum import StrEnum
from typing import NamedTuple


class Cause(StrEnum):
    """Why there is no link. The value is the name in JSON."""

    NO_CONTACTS = "no_contacts"
    NO_NODE_KNOWN = "no_node_known"
    CLOCKS_DIFFER = "clocks_differ"
    PEER_UNKNOWN = "peer_unknown"
    MOD_UNKNOWN = "mod_unknown"
    NOT_REGISTERED = "not_registered"
    OFFLINE = "offline"
    REGISTRARS_SILENT = "registrars_silent"
    BUSY = "busy"
    REFUSED = "refused"
    BLOCKED = "blocked"
    TOO_MANY_CALLS = "too_many_calls"
    OWN_LINKS_FULL = "own_links_full"
    NO_ADDRESS = "no_address"
    ADDRESS_HIDDEN = "address_hidden"
    PEER_HIDDEN = "peer_hidden"
    NO_COMMON_FAMILY = "no_common_family"
    RELAY_NEEDED = "relay_needed"
    PORT_NOT_GUESSED = "port_not_guessed"
    KIND_UNKNOWN = "kind_unknown"
    NOTHING_PASSED = "nothing_passed"
    RELAY_REFUSED = "relay_refused"
    RELAY_SILENT = "relay_silent"
    PATH_LOST = "path_lost"
    ADDRESS_TAKEN = "address_taken"
    WRONG_CERTIFICATE = "wrong_certificate"
    PEER_STALLED = "peer_stalled"
    NOT_THE_PEER = "not_the_peer"
    PROTOCOL_BROKEN = "protocol_broken"

    @property
    def sentence(self) -> str:
        """What is the matter."""
        return EXPLANATIONS[self].sentence

    @property
    def advice(self) -> str:
        """What helps, as whole sentences."""
        return EXPLANATIONS[self].advice


class Explanation(NamedTuple):
    """A cause in words for a player."""

    sentence: str
    advice: str


_OPEN_A_ROUTER = (
    "One of you can switch on UPnP in the router, forward a UDP port to the node, "
    "or use IPv6 or a VPN."
)
_AGAIN = "Try again in a minute."

EXPLANATIONS: dict[Cause, Explanation] = {
    Cause.NO_CONTACTS: Explanation(
        "no other node answers this one",
        "Check the internet connection; `modswarm doctor` says what is known of this network.",
    ),
    Cause.NO_NODE_KNOWN: Explanation(
        "this node knows no other node",
        "Start it with --bootstrap, and the address that `modswarm id` shows at another node, or "
        "let another node join through this one.",
    ),
    Cause.CLOCKS_DIFFER: Explanation(
        "by the word of other nodes the clock of this computer and the other one's differ by more "
        "than a minute",
        "Let both computers set their clocks by the internet, then try again; `modswarm doctor` "
        "says what is known of this one's.",
    ),
    Cause.PEER_UNKNOWN: Explanation(
        "no node of the network knows this peer",
        "Compare the id with what `modswarm id` shows there, and ask whether that node is running.",
    ),
    Cause.MOD_UNKNOWN: Explanation(
        "no node is known to share this mod",
        "Ask the person who gave you the link whether their node is running.",
    ),
    Cause.NOT_REGISTERED: Explanation(
        "the peer's node is not among those that answer, and none of these keeps it registered",
        "Ask the person whether their node is running; a minute after its start it can be called.",
    ),
    Cause.OFFLINE: Explanation(
        "the nodes where the peer was registered do not reach it any more: its node has ended, or "
        "its network has changed",
        "Ask the person whether their node is running, and try again in a minute: after a change "
        "of its network it registers anew.",
    ),
    Cause.REGISTRARS_SILENT: Explanation(
        "neither the peer nor a node that forwards its calls answered in time",
        f"{_AGAIN} If it stays so, `modswarm doctor` says what is known of this network.",
    ),
    Cause.BUSY: Explanation(
        "the peer's node, or one that forwards its calls, has no place for one more now", _AGAIN
    ),
    Cause.REFUSED: Explanation(
        "the peer's node, or one that forwards its calls, refused the call",
        f"It may be starting or ending. {_AGAIN}",
    ),
    Cause.BLOCKED: Explanation(
        "the peer's node has blocked this one", "Only the person there can change that."
    ),
    Cause.TOO_MANY_CALLS: Explanation(
        "the peer, or a node that forwards its calls, gets too many calls at once", _AGAIN
    ),
    Cause.OWN_LINKS_FULL: Explanation("all links of this node are in use", _AGAIN),
    Cause.NO_ADDRESS: Explanation(
        "this computer has no network address", "Connect it to a network, then try again."
    ),
    Cause.ADDRESS_HIDDEN: Explanation(
        "this node hides its address, and no third node that relays was found",
        "Try again when more nodes are online, or start this one without --hide-address.",
    ),
    Cause.PEER_HIDDEN: Explanation(
        "the peer names no address of its own for this link, and no third node that relays for "
        "both of you was found",
        "Try again when more nodes are online, or ask the peer whether it was started with "
        "--hide-address.",
    ),
    Cause.NO_COMMON_FAMILY: Explanation(
        "one side has only IPv4 and the other only IPv6, and no relay with both was found",
        "Switch on IPv6 where only IPv4 is, or use a VPN on both sides.",
    ),
    Cause.RELAY_NEEDED: Explanation(
        "both routers take another port for each contact, which only a relay gets past, and no "
        "relay was found",
        _OPEN_A_ROUTER,
    ),
    Cause.PORT_NOT_GUESSED: Explanation(
        "a router takes another port for each contact, that port was not guessed in time, and no "
        "relay was found",
        f"Try again; if it stays so: {_OPEN_A_ROUTER[0].lower()}{_OPEN_A_ROUTER[1:]}",
    ),
    Cause.KIND_UNKNOWN: Explanation(
        "no packet passed between the two networks, and not enough is known yet of one of them",
        f"Try again in some minutes, when more is known. {_OPEN_A_ROUTER}",
    ),
    Cause.NOTHING_PASSED: Explanation(
        "no packet passed between the two networks; most likely a firewall on one side holds UDP "
        "back",
        f"Allow modswarm in the firewalls of both computers. {_OPEN_A_ROUTER}",
    ),
    Cause.RELAY_REFUSED: Explanation(
        "no direct path works, and no relay that was asked took the connection on",
        f"{_AGAIN} Others are asked then.",
    ),
    Cause.RELAY_SILENT: Explanation(
        "no direct path works, and the relays do not answer", f"{_AGAIN} Others are asked then."
    ),
    Cause.PATH_LOST: Explanation(
        "a path was found, but it carried nothing any more before the link was open", _AGAIN
    ),
    Cause.ADDRESS_TAKEN: Explanation(
        "the peer answers at the address of another link of this node",
        "Two nodes seem to have one address and port: give one of them another port by --listen.",
    ),
    Cause.WRONG_CERTIFICATE: Explanation(
        "what answered is not the peer: its certificate is not the one that the peer signed",
        "Try again; if it stays so, do not trust the network that you are in.",
    ),
    Cause.PEER_STALLED: Explanation(
        "the peer answered on a path that works, but did not finish opening the link", _AGAIN
    ),
    Cause.PROTOCOL_BROKEN: Explanation(
        "what the peer sent does not follow the protocol",
        "Both sides should run the newest modswarm.",
    ),
    Cause.NOT_THE_PEER: Explanation(
        "what answered did not prove that it is the peer",
        "Try again; if it stays so, do not trust the network that you are in.",
    ),
}
"""A test wants one for every cause."""
