"""What a node learns about its own network: its NAT's kind, its addresses, whether it is public."""
