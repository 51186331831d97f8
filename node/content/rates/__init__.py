"""How fast content goes: what background work may take of a core, and content of the line."""
