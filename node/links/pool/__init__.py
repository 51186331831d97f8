"""The node's links: opened on demand, at most one to each peer, closed when idle."""
