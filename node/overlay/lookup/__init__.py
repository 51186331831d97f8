"""Lookups over the wire, and regions around keys that sybils surround."""
