"""Residents and peers that keep to the protocol only as far as it serves them."""
