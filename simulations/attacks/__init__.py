"""Attackers: residents that answer falsely or late, and a peer that speaks the protocol by hand."""
