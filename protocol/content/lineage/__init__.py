"""One mod through its versions: what its publisher signs of them, and what others make of it."""
