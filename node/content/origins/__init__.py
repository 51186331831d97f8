"""HTTP servers as sources of chunks: whom to ask, how, and whether a person agreed."""
