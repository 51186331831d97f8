"""Which of two links gets the DTLS from one remote address: the datagrams do not tell.

DTLS 1.2 names no connection, so a remote address belongs to one link at a time. Two links meet on
one when a peer has restarted and calls again from the port that it had, when both peers call at
once, or when a router has given one peer's mapping to another.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """What speaks for a link's right to the DTLS from a remote address.

    ICE has nominated a pair with the address, so the peer has shown that it receives there. `peer`:
    the peer's id. `is_fresh`: the peer still consents (RFC 7675). `began_at` and `opened_at` are
    when the attempt began and, if it has, became a link, in seconds of the loop's clock. `rank` is
    that of the attempt, the same on both sides.
    """

    peer: bytes
    is_fresh: bool
    began_at: float
    opened_at: float | None
    rank: int

    def gives_way_to(self, rival: "Claim") -> bool:
        """Whether the link with this claim loses the address to a rival that asks for it.

        Of two links with one peer, the one of higher rank stays, or else the later one, or one that
        was asked for when the other was already open: its caller has lost that one. Another peer
        has to wait until consent is in doubt.
        """
        if self.peer != rival.peer:
            return not self.is_fresh
        if self.opened_at is not None and rival.began_at > self.opened_at:
            return True
        return (rival.rank, rival.began_at) >= (self.rank, self.began_at)
