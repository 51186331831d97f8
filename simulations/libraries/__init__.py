"""Virtual time, seeds and simulated addresses for the libraries under a node."""
