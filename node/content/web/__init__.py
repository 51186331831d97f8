"""Complete mods over HTTP, sealed, for clients that cannot speak WebRTC; only where asked for."""
