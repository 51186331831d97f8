"""From a folder to a mod in the vault."""
