"""Commands about versions: made of a folder, followed, and listed."""
