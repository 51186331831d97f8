"""What is done to packs beside storing and reading: room is given back, and bytes are checked."""
