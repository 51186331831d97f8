"""What lives in a simulated world: our nodes, whole or overlay only, and stock ones."""
