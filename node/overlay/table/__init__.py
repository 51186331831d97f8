"""The routing tables of a running node: joined, filled, refreshed and kept true."""
