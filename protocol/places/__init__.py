"""Who keeps a place when all are taken: by what was done for this node, never by who was first."""
