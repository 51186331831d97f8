"""ICE (RFC 8445): a full agent without input and output of its own, for one component over UDP."""
