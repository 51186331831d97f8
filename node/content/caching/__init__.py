"""Popular mods that few have, fetched and served for others as ciphertext: opt-in."""
