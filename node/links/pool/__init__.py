"""Which links there are: opened on demand, at most one to each peer, closed when idle."""
