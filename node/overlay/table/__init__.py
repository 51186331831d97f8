"""The routing tables of a running node: joining, filling, refreshing, and pinging contacts."""
