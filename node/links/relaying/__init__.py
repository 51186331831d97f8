"""Relayed paths of links: which relays an offer names, and the allocations of one attempt."""
