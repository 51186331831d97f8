"""Lookups over the wire, and what is done where sybils surround a key."""
