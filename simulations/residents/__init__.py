"""The nodes of a simulated world: ours, whole or overlay only, and stock ones."""
