"""Mods as files that any HTTP server can host."""
