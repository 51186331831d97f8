"""What peers get from the vault over their links."""
