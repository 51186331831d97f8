"""The local content-addressed store: packs, index, and the thread that owns them."""
