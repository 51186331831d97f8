"""How fast content may go: token buckets of all peers and of each, and rates by the hour."""
