"""The tables of the vault: each class asks one or two of them, within the caller's transaction."""
