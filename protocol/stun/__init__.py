"""STUN (RFC 8489): as much of it as a demultiplexer needs to find a message's owner."""
