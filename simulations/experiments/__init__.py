"""The experiments, one module each. `catalogue` finds them; nothing else needs to know them."""
