"""The holders of a mod: whom a search calls, which of them keep a place, and whom they name."""
