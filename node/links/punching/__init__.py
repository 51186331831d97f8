"""Hole punching for links: plans made from two descriptions, and carried out beside ICE."""
