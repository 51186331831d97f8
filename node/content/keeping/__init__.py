"""What a vault keeps and for how long: its byte budget, what is evicted, and what that leaves."""
