"""Beginning, ending, heartbeats, stream resets and data channels of an association."""
