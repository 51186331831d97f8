"""Experiments about the links of pairs."""
