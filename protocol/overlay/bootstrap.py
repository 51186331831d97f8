"""Where a node joins the overlay: an address, and perhaps the peer id expected there."""

from dataclasses import dataclass

from protocol.addresses import split_host_port
from protocol.errors import BadAddress, BadPeerId
from protocol.identity import PeerId, parse_peer_id, peer_id_text
from protocol.texts.peers import friend_line_in


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """`host:port`, or `host:port/peer-id`, which also pins the peer that must answer there."""

    host: str
    port: int
    peer_id: PeerId | None

    @classmethod
    def parse(cls, text: str) -> "Bootstrap":
        """Read what a person typed or pasted; raises BadAddress."""
        try:
            return cls._strictly(text)
        except BadAddress as error:
            meant = friend_line_in(text)
            if meant in {"", text}:
                raise
            try:
                return cls._strictly(meant)
            except BadAddress as of_meant:
                raise of_meant from error

    @classmethod
    def _strictly(cls, text: str) -> "Bootstrap":
        where, slash, pin = text.strip().partition("/")
        host, port = split_host_port(where)
        if port == 0:
            raise BadAddress(f"not a port: {port}")
        try:
            return cls(host, port, parse_peer_id(pin) if slash else None)
        except BadPeerId as error:
            raise BadAddress(str(error)) from None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        pin = f"/{peer_id_text(self.peer_id)}" if self.peer_id else ""
        return f"{host}:{self.port}{pin}"
