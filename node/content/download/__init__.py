"""From a link to a complete mod in the vault, from many sources at once."""
