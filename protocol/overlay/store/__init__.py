"""The records that a node stores for others, and who has how much of that."""
