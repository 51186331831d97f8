"""Downloads in their order: a few at once, paused and resumed, and kept over restarts."""
