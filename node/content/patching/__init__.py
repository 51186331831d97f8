"""Patches: made where a version is shared, applied where the one before is in the vault."""
