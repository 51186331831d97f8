"""What rebuilds a version of a mod out of the one before: its bytes, its frames, its plan."""
