"""From a complete mod in the vault to files in a folder."""
