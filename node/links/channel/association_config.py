"""What our associations are: one channel, the same bounds on both sides."""

from node.links.channel.channel import SCTP_PORT, STREAM
from protocol.sctp.config import AssociationConfig, Role


def association_config(role: Role, max_message_bytes: int, *, own_peer: bool) -> AssociationConfig:
    """That of a link. `own_peer`: the peer's SCTP is ours too."""
    return AssociationConfig(
        role,
        own_peer=own_peer,
        local_port=SCTP_PORT,
        remote_port=SCTP_PORT,
        max_message_bytes=max_message_bytes,
        peer_max_message_bytes=max_message_bytes,
        streams=STREAM + 1,
        heartbeat_s=None,  # ICE checks already whether the peer is there
    )
