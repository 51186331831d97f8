"""Mods on this machine: published, kept in the vault, served, fetched and written out again."""
