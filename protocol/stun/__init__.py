"""STUN (RFC 8489): as much of it as tells whose a message is."""
