"""Mods that a person follows: news of their versions, and keeping folders current."""
