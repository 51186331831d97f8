"""STUN (RFC 8489) with the methods and attributes of ICE (RFC 8445) and TURN (RFC 8656)."""
