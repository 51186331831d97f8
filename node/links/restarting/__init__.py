"""Restarts of ICE for open links: a mapping or an address has changed, and the link goes on."""
