"""Origins: HTTP servers that have an export of a mod, of which nothing is trusted."""
